//! A range of numbers (addresses, ports) of which each is given to one at a time.

use std::collections::BTreeSet;

use stdx::Rng;

pub(crate) struct Pool {
    first: u32,
    last: u32,
    taken: BTreeSet<u32>,
    /// Never chosen, only taken by name.
    reserved: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    OutOfRange,
    Taken,
    Full,
}

impl Pool {
    pub fn new(first: u32, last: u32, reserved: &[u32]) -> Self {
        Self { first, last, taken: BTreeSet::new(), reserved: reserved.iter().copied().collect() }
    }

    pub fn bounds(&self) -> (u32, u32) {
        (self.first, self.last)
    }

    pub fn take(&mut self, number: u32) -> Result<(), Refused> {
        if !(self.first..=self.last).contains(&number) {
            return Err(Refused::OutOfRange);
        }
        if self.taken.insert(number) { Ok(()) } else { Err(Refused::Taken) }
    }

    /// Chooses a free number: the first one after a random place.
    pub fn choose(&mut self, rng: &Rng) -> Result<u32, Refused> {
        let size = u64::from(self.last - self.first) + 1;
        let offset = u32::try_from(rng.below(size)).unwrap_or_default();
        let start = self.first + offset;
        let chosen =
            self.free_from(start, self.last).or_else(|| self.free_from(self.first, start)).ok_or(Refused::Full)?;
        self.taken.insert(chosen);
        Ok(chosen)
    }

    fn free_from(&self, start: u32, end: u32) -> Option<u32> {
        (start..=end).find(|number| !self.taken.contains(number) && !self.reserved.contains(number))
    }

    pub fn give_back(&mut self, number: u32) {
        self.taken.remove(&number);
    }

    pub fn clear(&mut self) {
        self.taken.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_free_number_is_found_and_none_twice() {
        let rng = Rng::seeded(3);
        let mut pool = Pool::new(10, 14, &[11]);
        let mut all: Vec<u32> = (0..4).map(|_| pool.choose(&rng).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, [10, 12, 13, 14]);
        assert_eq!(pool.choose(&rng), Err(Refused::Full));
        assert_eq!(
            (pool.take(11), pool.take(11), pool.take(9)),
            (Ok(()), Err(Refused::Taken), Err(Refused::OutOfRange))
        );
        pool.give_back(13);
        assert_eq!(pool.choose(&rng), Ok(13));
    }
}
