//! A Deployment that was resized, or is paused: sets are resized in proportion, no roll goes on.

use cache::Plan;

use super::sets::{DESIRED_REPLICAS, MAX_REPLICAS, Rollout, Set};

impl Rollout<'_> {
    /// An active set was last sized for another number of replicas than the Deployment asks for now.
    pub(super) fn was_resized(&self) -> bool {
        let active = self.sets.iter().filter(|set| set.replicas() > 0);
        active.filter_map(|set| set.annotation_int(DESIRED_REPLICAS)).any(|desired| desired != self.replicas())
    }

    pub(super) fn resize(mut self) -> Plan {
        self.sync_new_set();
        self.scale();
        if self.is_paused() {
            self.clean_up();
        }
        self.into_plan()
    }

    fn scale(&mut self) {
        if let Some(only) = self.active_or_latest() {
            let wanted = self.replicas();
            self.resize_set(only, wanted);
            return;
        }
        if self.is_saturated() {
            for index in self.old().collect::<Vec<_>>() {
                if self.sets[index].replicas() > 0 {
                    self.resize_set(index, 0);
                }
            }
            return;
        }
        if !self.is_recreate() {
            self.scale_in_proportion();
        }
    }

    /// The one active set; where none is, the new one or the latest old one; nothing where several are active.
    fn active_or_latest(&self) -> Option<usize> {
        let active: Vec<usize> = (0..self.sets.len()).filter(|index| self.sets[*index].replicas() > 0).collect();
        match active.as_slice() {
            [] => self.new.or_else(|| self.old().last()),
            [only] => Some(*only),
            _ => None,
        }
    }

    /// The new set is as big as it shall be, and all its pods are available.
    fn is_saturated(&self) -> bool {
        self.new.is_some_and(|new| {
            let set = &self.sets[new];
            let wanted = self.replicas();
            set.replicas() == wanted
                && set.annotation_int(DESIRED_REPLICAS) == Some(wanted)
                && set.available() == wanted
        })
    }

    /// Shares what is to be added or taken among the active sets by their size; what is left by rounding goes to the
    /// biggest.
    fn scale_in_proportion(&mut self) {
        let allowed = if self.replicas() > 0 { self.replicas() + self.max_surge() } else { 0 };
        let mut active: Vec<usize> = (0..self.sets.len()).filter(|index| self.sets[*index].replicas() > 0).collect();
        let to_add = allowed - self.total_replicas();
        // Sets are in order of age; of equal ones the newer grows and the older shrinks first.
        if to_add > 0 {
            active.reverse();
        }
        active.sort_by_key(|index| std::cmp::Reverse(self.sets[*index].replicas()));
        let mut added = 0;
        let mut sizes = Vec::new();
        for index in &active {
            let share = self.share(&self.sets[*index], to_add, added);
            added += share;
            sizes.push(self.sets[*index].replicas() + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (index, size) in active.into_iter().zip(sizes) {
            self.resize_set(index, size);
        }
    }

    fn share(&self, set: &Set, to_add: i64, added: i64) -> i64 {
        if to_add == 0 || to_add == added {
            return 0;
        }
        let size = set.replicas();
        let fraction = if self.replicas() == 0 {
            -size
        } else {
            let most = self.replicas() + self.max_surge();
            let before = set.annotation_int(MAX_REPLICAS).filter(|most| *most > 0);
            let before = before.unwrap_or_else(|| self.status_replicas());
            if before == 0 { 0 } else { (2 * size * most + before) / (2 * before) - size }
        };
        let left = to_add - added;
        if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
    }
}
