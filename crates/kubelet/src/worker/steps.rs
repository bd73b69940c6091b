//! Does what a plan says: a match over its steps that never chooses.

use cache::controller::NoteKind;
use cri::v1;
use jiff::{SignedDuration, Timestamp};

use super::{Next, Worker};
use crate::create;
use crate::plan::Step;
use crate::qos;
use crate::shared::signed;
use crate::volumes::VolumeError;

/// Why the rest of a plan was not done.
pub(super) enum Stopped {
    /// The pod must stop, or changed: plan anew.
    Interrupted,
    /// Something failed: plan anew at this time, or when something changes.
    Retry(Timestamp),
}

pub(super) type Done = Result<(), Stopped>;

/// How long a container whose config or start failed waits for the next try, as upstream's pod worker does.
pub(super) const HOLD: SignedDuration = SignedDuration::from_secs(10);

impl Worker {
    pub(super) async fn execute_all(&mut self, steps: &[Step]) -> Done {
        let prepares = |step: &Step| matches!(step, Step::CreateSandbox { .. } | Step::Start { .. });
        if self.mounted.is_none()
            && steps.iter().any(prepares)
            && let Err(error) = self.set_up_volumes().await
        {
            return match self.mount_failed(&error) {
                Next::Sleep(Some(at)) => Err(Stopped::Retry(at)),
                _ => Err(Stopped::Interrupted),
            };
        }
        for step in steps {
            if self.must_stop() {
                return Err(Stopped::Interrupted);
            }
            Box::pin(self.execute(step)).await?;
        }
        Ok(())
    }

    async fn execute(&mut self, step: &Step) -> Done {
        tracing::debug!(pod = %self.pod.key(), "{step}");
        match step {
            Step::ClearPod => {
                self.stop_all(self.pod.grace_period_secs()).await;
                self.remove_older_sandboxes().await;
                Ok(())
            }
            Step::CreateSandbox { attempt } => self.create_sandbox(*attempt).await,
            Step::Stop { id, name, message, grace_period_secs } => {
                let grace = grace_period_secs.unwrap_or_else(|| self.pod.grace_period_secs());
                self.probes.forget(id);
                self.stop_container(id, name, message, grace).await;
                Ok(())
            }
            Step::Start { name, role, attempt } => self.start_container(name, *role, *attempt).await,
            Step::Remove { id } => {
                let request = v1::RemoveContainerRequest { container_id: id.clone() };
                if let Err(error) = self.shared.deps.runtime.remove_container(request).await {
                    tracing::debug!(pod = %self.pod.key(), "cannot remove a dead container: {error}");
                }
                Ok(())
            }
        }
    }

    async fn create_sandbox(&mut self, attempt: u32) -> Done {
        if let Some(until) = self.held.get("").filter(|until| **until > self.shared.now()) {
            return Err(Stopped::Retry(*until));
        }
        let config = create::sandbox(&self.pod, attempt, &self.shared.config, &self.shared.node_resolv_conf());
        let made = match self.make_dirs() {
            Ok(()) => {
                let request = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
                self.shared.deps.runtime.run_pod_sandbox(request).await.map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let Err(error) = made else {
            self.held.remove("");
            return Ok(());
        };
        let message = format!("Failed to create pod sandbox: {error}");
        self.shared.tell(&self.pod, None, NoteKind::Warning, "FailedCreatePodSandBox", message);
        self.failures = self.failures.saturating_add(1);
        let at = self.shared.now() + signed(super::RETRY.delay(self.failures));
        self.held.insert(String::new(), at);
        Err(Stopped::Retry(at))
    }

    fn make_dirs(&self) -> std::io::Result<()> {
        let (pod, config) = (&self.pod, &self.shared.config);
        std::fs::create_dir_all(config.pod_log_dir(pod.namespace(), pod.name(), pod.uid()))?;
        std::fs::create_dir_all(config.pod_dir(pod.uid()))?;
        let cgroup = qos::cgroup_path(&config.cgroup_root, pod);
        if let Err(error) = self.shared.deps.cgroups.ensure(&cgroup, &qos::pod_limits(pod)) {
            // Best effort: a machine may lack controllers, and its pods must run all the same.
            tracing::warn!(pod = %pod.key(), "cannot set the pod's cgroup {cgroup}: {error}");
        }
        Ok(())
    }

    pub(super) fn mount_failed(&mut self, error: &(String, VolumeError)) -> Next {
        let (volume, cause) = error;
        let message = format!("MountVolume.SetUp failed for volume {volume:?} : {cause}");
        self.shared.tell(&self.pod, None, NoteKind::Warning, "FailedMount", message);
        self.retry()
    }
}
