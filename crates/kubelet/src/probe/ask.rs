//! Asks a container once: exec, httpGet, tcpSocket or grpc, with upstream's words for failures.

use std::time::Duration;

use cri::{Code, Runtime, v1};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::grpc;
use super::http::{self, Target};

/// How much of an answer is told in an event.
const OUTPUT_LEN_MAX: usize = 10 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure(String),
}

pub async fn ask(
    runtime: &dyn Runtime,
    probe: &core::Probe,
    container: &core::Container,
    id: &str,
    address: &str,
    timeout: Duration,
) -> Outcome {
    if let Some(exec) = &probe.exec {
        let timeout_secs = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let cmd = exec.command.clone().unwrap_or_default();
        return ask_exec(runtime, v1::ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: timeout_secs })
            .await;
    }
    if let Some(get) = &probe.http_get {
        let Some(target) = Target::of(get, container, address) else {
            return Outcome::Failure(format!("couldn't find port: {:?}", get.port));
        };
        return ask_http(&target, timeout).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        let host = tcp.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(address);
        let Some(port) = port_number(&tcp.port, container) else {
            return Outcome::Failure(format!("couldn't find port: {:?}", tcp.port));
        };
        return ask_tcp(host, port, timeout).await;
    }
    if let Some(grpc) = &probe.grpc {
        let port = u16::try_from(grpc.port).unwrap_or(0);
        let service = grpc.service.as_deref().unwrap_or_default();
        return match tokio::time::timeout(timeout, grpc::check(address, port, service)).await {
            Err(_) => {
                Outcome::Failure(format!("timeout: failed to connect service {address:?}:{port} within {timeout:?}"))
            }
            Ok(Err(why)) => Outcome::Failure(why),
            Ok(Ok(())) => Outcome::Success,
        };
    }
    Outcome::Failure("missing probe handler".to_owned())
}

/// The number of a port that is given by number or by its name in the container.
pub fn port_number(port: &IntOrString, container: &core::Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.and_then(|port| u16::try_from(port.container_port).ok()).or_else(|| name.parse().ok())
        }
    }
}

async fn ask_exec(runtime: &dyn Runtime, request: v1::ExecSyncRequest) -> Outcome {
    let line = format!("{:?}", request.cmd);
    let secs = request.timeout;
    match runtime.exec_sync(request).await {
        Ok(answer) if answer.exit_code == 0 => Outcome::Success,
        Ok(answer) => Outcome::Failure(cut(&[answer.stdout, answer.stderr].concat())),
        Err(error) if error.code == Code::DeadlineExceeded => {
            Outcome::Failure(format!("command timed out: {line} timed out after {secs}s"))
        }
        Err(error) => Outcome::Failure(error.to_string()),
    }
}

async fn ask_http(target: &Target, timeout: Duration) -> Outcome {
    let url = target.url();
    match tokio::time::timeout(timeout, http::get(target)).await {
        Err(_) => Outcome::Failure(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
        Ok(Err(why)) => Outcome::Failure(format!("Get {url:?}: {why}")),
        Ok(Ok(code)) if (200..400).contains(&code) => Outcome::Success,
        Ok(Ok(code)) => Outcome::Failure(format!("HTTP probe failed with statuscode: {code}")),
    }
}

async fn ask_tcp(host: &str, port: u16, timeout: Duration) -> Outcome {
    let to = stdx::authority(host, port);
    match tokio::time::timeout(timeout, tokio::net::TcpStream::connect(&to)).await {
        Err(_) => Outcome::Failure(format!("dial tcp {to}: i/o timeout")),
        Ok(Err(error)) => Outcome::Failure(stdx::dial_error(&to, &error)),
        Ok(Ok(_)) => Outcome::Success,
    }
}

fn cut(output: &[u8]) -> String {
    String::from_utf8_lossy(&output[..output.len().min(OUTPUT_LEN_MAX)]).into_owned()
}
