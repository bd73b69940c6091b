//! The worker's dealings with volumes: reads what they need, sets them up, keeps their content fresh, and makes the
//! mounts of one container.

use std::path::{Path, PathBuf};

use cri::v1;
use k8s_openapi::api::core::v1 as core;

use super::Worker;
use crate::create;
use crate::env::ConfigError;
use crate::env::expansion::expand;
use crate::references::{self, Referred};
use crate::volumes::{self as vols, Mounted, VolumeError, subpath};

impl Worker {
    /// Makes all volumes of the pod; the name of the one that failed, and why.
    pub(super) async fn set_up_volumes(&mut self) -> Result<(), (String, VolumeError)> {
        let wanted = references::of_pod(&self.pod);
        self.shared.references.hold(self.pod.uid(), &wanted, &self.wake);
        let mut mounted = Mounted::new();
        let volumes = self.pod.spec().volumes.clone().unwrap_or_default();
        if !volumes.is_empty() {
            let first = volumes.first().map(|volume| volume.name.clone()).unwrap_or_default();
            let referred = self.referred().await.map_err(|error| (first.clone(), error))?;
            self.fetch_tokens().await.map_err(|error| (first, error))?;
            for volume in &volumes {
                let path = self.set_up(volume, &referred).map_err(|error| (volume.name.clone(), error))?;
                mounted.insert(volume.name.clone(), path);
            }
        }
        self.mounted = Some(mounted);
        Ok(())
    }

    /// Brings the content of volumes up to date that follow other objects.
    pub(super) async fn refresh_volumes(&mut self) -> Result<(), (String, VolumeError)> {
        let volumes = self.pod.spec().volumes.clone().unwrap_or_default();
        if self.mounted.is_none() {
            // Adopted after a restart: its volumes are there, and what they follow is watched again.
            return self.set_up_volumes().await;
        }
        if !volumes.iter().any(vols::is_live) {
            return Ok(());
        }
        let name = |volume: &core::Volume| volume.name.clone();
        let first = volumes.iter().find(|volume| vols::is_live(volume)).map(name).unwrap_or_default();
        let referred = self.referred().await.map_err(|error| (first.clone(), error))?;
        self.fetch_tokens().await.map_err(|error| (first, error))?;
        for volume in volumes.iter().filter(|volume| vols::is_live(volume)) {
            self.set_up(volume, &referred).map_err(|error| (name(volume), error))?;
        }
        Ok(())
    }

    pub(super) async fn referred(&self) -> Result<Referred, VolumeError> {
        let wanted = references::of_pod(&self.pod);
        let read = self.shared.references.read(&wanted).await;
        read.map_err(|error| VolumeError::Config(ConfigError(error.to_string())))
    }

    async fn fetch_tokens(&mut self) -> Result<(), VolumeError> {
        let fetched = self.tokens.refresh(&self.shared.client, &self.pod, self.shared.now()).await;
        fetched.map_err(|error| VolumeError::Config(ConfigError(error.to_string())))
    }

    fn set_up(&self, volume: &core::Volume, referred: &Referred) -> Result<PathBuf, VolumeError> {
        let facts = self.shared.env_facts(self.observed.addresses());
        let tokens = self.tokens.of_volume(&volume.name);
        let input = vols::Input { pod: &self.pod, volume, referred, facts: &facts, tokens: &tokens };
        vols::set_up(&input, &self.shared.config.pod_dir(self.pod.uid()), &*self.shared.deps.mounts)
    }

    /// The mounts of one container: its volumes, /etc/hosts, and the file for its last words.
    pub(super) fn mounts(
        &self,
        container: &core::Container,
        attempt: u32,
        env: &[(String, String)],
    ) -> Result<Vec<v1::Mount>, ConfigError> {
        let mut mounts = Vec::new();
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            mounts.push(self.mount(container, index, mount, env)?);
        }
        let has = |path: &str| mounts.iter().any(|mount: &v1::Mount| mount.container_path == path);
        let failed = |error: std::io::Error| ConfigError(error.to_string());
        let hosts = (!has("/etc/hosts")).then(|| self.hosts_file()).transpose().map_err(failed)?;
        mounts.extend(hosts.map(|path| plain_mount("/etc/hosts", &path)));
        let words = self.words_file(&container.name, attempt).map_err(failed)?;
        mounts.push(plain_mount(create::message_path(container), &words));
        Ok(mounts)
    }

    fn mount(
        &self,
        container: &core::Container,
        index: usize,
        mount: &core::VolumeMount,
        env: &[(String, String)],
    ) -> Result<v1::Mount, ConfigError> {
        let missing =
            || ConfigError(format!("cannot find volume {:?} to mount into container {:?}", mount.name, container.name));
        let volume = self.mounted.as_ref().and_then(|mounted| mounted.get(&mount.name)).ok_or_else(missing)?;
        let lookup = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let sub = match mount.sub_path_expr.as_deref().filter(|expr| !expr.is_empty()) {
            Some(expr) => expand(expr, &lookup),
            None => mount.sub_path.clone().unwrap_or_default(),
        };
        let host_path = if sub.is_empty() {
            volume.clone()
        } else {
            let pod_dir = self.shared.config.pod_dir(self.pod.uid());
            let place = (mount.name.as_str(), container.name.as_str(), index);
            subpath::bind(&*self.shared.deps.mounts, volume, &sub, &pod_dir, place).map_err(|error| {
                ConfigError(format!(
                    "failed to prepare subPath for volumeMount {:?} of container {:?}: {error}",
                    mount.name, container.name
                ))
            })?
        };
        let propagation = match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => v1::MountPropagation::PropagationHostToContainer,
            Some("Bidirectional") => v1::MountPropagation::PropagationBidirectional,
            _ => v1::MountPropagation::PropagationPrivate,
        };
        Ok(v1::Mount {
            readonly: mount.read_only.unwrap_or(false) || self.is_read_only(&mount.name),
            propagation: propagation as i32,
            recursive_read_only: mount.recursive_read_only.as_deref() == Some("Enabled"),
            ..plain_mount(&absolute(&mount.mount_path), &host_path)
        })
    }

    /// Volumes that follow objects are the kubelet's to write.
    fn is_read_only(&self, name: &str) -> bool {
        let volumes = self.pod.spec().volumes.as_deref().unwrap_or_default();
        volumes.iter().any(|volume| volume.name == name && vols::is_live(volume))
    }

    fn hosts_file(&self) -> std::io::Result<PathBuf> {
        let config = &self.shared.config;
        let path = config.pod_dir(self.pod.uid()).join("etc-hosts");
        let node = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let text = create::hosts_file(&self.pod, &self.observed.addresses(), &config.cluster_domain, &node);
        // Written in place: it is mounted into containers that run already.
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            std::fs::write(&path, text)?;
        }
        Ok(path)
    }
}

fn plain_mount(container_path: &str, host_path: &Path) -> v1::Mount {
    v1::Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_string_lossy().into_owned(),
        ..v1::Mount::default()
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}
