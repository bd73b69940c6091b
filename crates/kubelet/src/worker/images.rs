//! Makes a container's image present, by its pull policy, with upstream's events and reasons.

use std::time::Duration;

use base64::Engine;
use cache::controller::NoteKind;
use cri::v1;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as core;

use super::Worker;
use super::steps::{Done, Stopped};
use crate::env;
use crate::pod::{ContainerRef, PodRef};
use crate::references::Referred;
use crate::shared::signed;

/// How long ErrImagePull is told before it becomes ImagePullBackOff.
const TELL_FAILURE: SignedDuration = SignedDuration::from_secs(2);

/// A pull that failed and will be tried again.
pub(super) struct FailedPull {
    at: Timestamp,
    cause: String,
    told_back_off: bool,
}

impl FailedPull {
    pub(super) fn tells_at(&self) -> Option<Timestamp> {
        (!self.told_back_off).then_some(self.at + TELL_FAILURE)
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

impl Worker {
    /// The image, present. On failure the container waits with the reason that is told.
    pub(super) async fn image(
        &mut self,
        container: &ContainerRef<'_>,
        referred: &Referred,
    ) -> Result<v1::Image, Stopped> {
        let image = container.spec.image.clone().unwrap_or_default();
        if let Err(why) = check_reference(&image) {
            let message =
                format!("Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: {why}");
            let pod = self.pod.clone();
            self.shared.tell(&pod, Some(container), NoteKind::Warning, "InspectFailed", message.clone());
            self.shared.tell(&pod, Some(container), NoteKind::Warning, "Failed", "Error: InvalidImageName".to_owned());
            return Err(self.hold(container.name(), "InvalidImageName", message));
        }
        let present = self.present(&image).await;
        match (policy(container.spec, &image), present) {
            (Policy::Never, None) => {
                let message = format!("Container image {image:?} is not present with pull policy of Never");
                self.shared.tell(&self.pod, Some(container), NoteKind::Warning, "ErrImageNeverPull", message.clone());
                let error = "Error: ErrImageNeverPull".to_owned();
                self.shared.tell(&self.pod, Some(container), NoteKind::Warning, "Failed", error);
                Err(self.hold(container.name(), "ErrImageNeverPull", message))
            }
            (Policy::Never | Policy::IfNotPresent, Some(found)) => {
                let message =
                    format!("Container image {image:?} already present on machine and can be accessed by the pod");
                self.shared.tell(&self.pod, Some(container), NoteKind::Normal, "Pulled", message);
                Ok(found)
            }
            (Policy::Always | Policy::IfNotPresent, _) => self.pull(container, &image, referred).await,
        }
    }

    async fn present(&self, image: &str) -> Option<v1::Image> {
        let spec = v1::ImageSpec { image: image.to_owned(), ..v1::ImageSpec::default() };
        let request = v1::ImageStatusRequest { image: Some(spec), verbose: false };
        self.shared.deps.runtime.image_status(request).await.ok().and_then(|answer| answer.image)
    }

    async fn pull(
        &mut self,
        container: &ContainerRef<'_>,
        image: &str,
        referred: &Referred,
    ) -> Result<v1::Image, Stopped> {
        let message = format!("Pulling image {image:?}");
        self.shared.tell(&self.pod, Some(container), NoteKind::Normal, "Pulling", message);
        let began = tokio::time::Instant::now();
        let mut answer = Err(cri::RuntimeError::internal("no pull was tried"));
        let mut logins = credentials(&self.pod, referred, image);
        logins.push(None);
        for auth in logins {
            let spec = v1::ImageSpec { image: image.to_owned(), ..v1::ImageSpec::default() };
            let request = v1::PullImageRequest { image: Some(spec), auth, sandbox_config: None };
            let runtime = std::sync::Arc::clone(&self.shared.deps.runtime);
            answer = tokio::select! {
                biased;
                () = self.told_to_stop() => return Err(Stopped::Interrupted),
                answer = runtime.pull_image(request) => answer,
            };
            if answer.is_ok() {
                break;
            }
        }
        match answer {
            Ok(_) => {
                self.pulls.remove(container.name());
                self.pull_waits.forget(container.name());
                let found = self.present(image).await.unwrap_or_default();
                let took = took(began.elapsed());
                let message = format!(
                    "Successfully pulled image {image:?} in {took} ({took} including waiting). Image size: {} bytes.",
                    found.size
                );
                self.shared.tell(&self.pod, Some(container), NoteKind::Normal, "Pulled", message);
                Ok(found)
            }
            Err(error) => Err(self.pull_failed(container, image, &error)),
        }
    }

    fn pull_failed(&mut self, container: &ContainerRef<'_>, image: &str, error: &cri::RuntimeError) -> Stopped {
        let cause = format!("rpc error: code = {:?} desc = {}", error.code, error.message);
        let pod = self.pod.clone();
        let message = format!("Failed to pull image {image:?}: {cause}");
        self.shared.tell(&pod, Some(container), NoteKind::Warning, "Failed", message);
        self.shared.tell(&pod, Some(container), NoteKind::Warning, "Failed", "Error: ErrImagePull".to_owned());
        let now = self.shared.now();
        let name = container.name().to_owned();
        self.pull_waits.next(&name, now, now);
        let until = self.pull_waits.waiting(&name, now, now).map_or(now, |(_, over)| over);
        self.held.insert(name.clone(), until);
        self.waiting.insert(name.clone(), ("ErrImagePull".to_owned(), cause.clone()));
        self.pulls.insert(name, FailedPull { at: now, cause, told_back_off: false });
        Stopped::Retry(until.min(now + TELL_FAILURE))
    }

    /// Turns ErrImagePull into ImagePullBackOff once it has been told for a moment.
    pub(super) fn tell_pull_back_offs(&mut self) {
        let now = self.shared.now();
        let due: Vec<(String, String)> = self
            .pulls
            .iter_mut()
            .filter(|(_, pull)| pull.tells_at().is_some_and(|at| at <= now))
            .map(|(name, pull)| {
                pull.told_back_off = true;
                (name.clone(), pull.cause.clone())
            })
            .collect();
        for (name, cause) in due {
            let Some(container) = self.pod.container(&name) else { continue };
            let back_off = format!("Back-off pulling image {:?}", container.spec.image.as_deref().unwrap_or_default());
            let message = format!("{back_off}: ErrImagePull: {cause}");
            self.shared.tell(&self.pod, Some(&container), NoteKind::Normal, "BackOff", back_off);
            let error = "Error: ImagePullBackOff".to_owned();
            self.shared.tell(&self.pod, Some(&container), NoteKind::Warning, "Failed", error);
            self.waiting.insert(name, ("ImagePullBackOff".to_owned(), message));
        }
    }

    /// Makes a container wait for the next try with that reason.
    pub(super) fn hold(&mut self, name: &str, reason: &str, message: String) -> Stopped {
        let until = self.shared.now() + super::steps::HOLD;
        self.held.insert(name.to_owned(), until);
        self.waiting.insert(name.to_owned(), (reason.to_owned(), message));
        Stopped::Retry(until)
    }

    /// Returns when the pod must no longer run.
    async fn told_to_stop(&self) {
        let mut desired = self.desired.clone();
        let stop = |desired: &super::Desired| desired.removed || desired.pod.is_deleting();
        if desired.wait_for(stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn go_on(&self) -> Done {
        if self.must_stop() { Err(Stopped::Interrupted) } else { Ok(()) }
    }
}

fn policy(container: &core::Container, image: &str) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        Some("IfNotPresent") => Policy::IfNotPresent,
        _ if image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains([':', '@']) => {
            Policy::Always
        }
        _ => Policy::IfNotPresent,
    }
}

/// Whether the text is an image reference, in the words of the reference parser upstream uses.
fn check_reference(image: &str) -> Result<(), &'static str> {
    let name = image.split('@').next().unwrap_or_default();
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let path = name.split_once('/').filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost");
    let repository = path.map_or(name, |(_, rest)| rest);
    if repository.chars().any(|c| c.is_ascii_uppercase()) {
        return Err("invalid reference format: repository name must be lowercase");
    }
    let letters =
        |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    let well = |part: &str| {
        let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        letters(part) && ends(part.as_bytes().first()) && ends(part.as_bytes().last())
    };
    let tag_fits = tag.is_none_or(|tag| {
        !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    });
    if repository.split('/').all(well) && tag_fits { Ok(()) } else { Err("invalid reference format") }
}

/// The logins for the image's registry in the pod's pull secrets.
fn credentials(pod: &PodRef, referred: &Referred, image: &str) -> Vec<Option<v1::AuthConfig>> {
    let host =
        image.split_once('/').map(|(host, _)| host).filter(|host| host.contains(['.', ':']) || *host == "localhost");
    let host = host.unwrap_or("index.docker.io");
    let mut found = Vec::new();
    for named in pod.spec().image_pull_secrets.iter().flatten() {
        let Ok(Some(secret)) = env::find_secret(pod, referred, &named.name, Some(true)) else { continue };
        let data = secret.data.unwrap_or_default();
        let Some(config) = data.get(".dockerconfigjson") else { continue };
        let config: serde_json::Value = serde_json::from_slice(&config.0).unwrap_or_default();
        for (server, login) in config.get("auths").and_then(serde_json::Value::as_object).into_iter().flatten() {
            let bare = server.trim_start_matches("https://").trim_start_matches("http://");
            if bare.split('/').next() == Some(host) {
                found.push(Some(login_of(server, login)));
            }
        }
    }
    found
}

fn login_of(server: &str, login: &serde_json::Value) -> v1::AuthConfig {
    let text = |key: &str| login.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    let decoded = base64::engine::general_purpose::STANDARD.decode(text("auth")).unwrap_or_default();
    if let Some((user, pass)) = std::str::from_utf8(&decoded).ok().and_then(|pair| pair.split_once(':')) {
        (username, password) = (user.to_owned(), pass.to_owned());
    }
    v1::AuthConfig {
        username,
        password,
        server_address: server.to_owned(),
        identity_token: text("identitytoken"),
        registry_token: text("registrytoken"),
        ..v1::AuthConfig::default()
    }
}

/// `1.234s` or `25ms`, as Go prints a duration rounded to milliseconds.
fn took(elapsed: Duration) -> String {
    let millis = elapsed.as_millis();
    if millis < 1000 {
        format!("{millis}ms")
    } else {
        format!("{}s", signed(elapsed).as_secs_f64().mul_add(1000.0, 0.0).round() / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_references_are_refused() {
        for (image, expected) in [
            ("nginx", Ok(())),
            ("localhost:5000/a/b_c:v1.2@sha256:00", Ok(())),
            ("Nginx", Err("invalid reference format: repository name must be lowercase")),
            ("nginx:", Err("invalid reference format")),
            ("ng inx", Err("invalid reference format")),
            ("", Err("invalid reference format")),
        ] {
            assert_eq!(check_reference(image), expected, "{image}");
        }
    }
}
