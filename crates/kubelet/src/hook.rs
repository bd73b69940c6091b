//! Lifecycle hooks: exec, httpGet and sleep handlers, run against one container.

use std::time::Duration;

use cri::{Runtime, v1};
use k8s_openapi::api::core::v1 as core;

use crate::probe::http::{self, Target};

const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

pub async fn run(
    runtime: &dyn Runtime,
    handler: &core::LifecycleHandler,
    container: &core::Container,
    id: &str,
    addresses: &[String],
) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        let cmd = exec.command.clone().unwrap_or_default();
        let line = cmd.join(" ");
        let request = v1::ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: 0 };
        let answer = runtime.exec_sync(request).await.map_err(|error| error.to_string())?;
        if answer.exit_code == 0 {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&answer.stdout).into_owned() + &String::from_utf8_lossy(&answer.stderr);
        return Err(format!("command '{line}' exited with {}: {output}", answer.exit_code));
    }
    if let Some(get) = &handler.http_get {
        let address = addresses.first().map(String::as_str).unwrap_or_default();
        let target = Target::of(get, container, address).ok_or_else(|| "the hook's port is unknown".to_owned())?;
        return match tokio::time::timeout(HTTP_TIMEOUT, http::get(&target)).await {
            Err(_) => Err("the hook timed out".to_owned()),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Ok(()),
        };
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err("invalid handler: it has no action".to_owned())
}
