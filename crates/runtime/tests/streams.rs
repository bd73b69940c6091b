//! exec, attach and port-forward through the streaming server, with real containers: needs root.
#![allow(clippy::unwrap_used, clippy::expect_used)] // These are tests, helpers included.

mod stand;

use cri::{Runtime, v1};
use stand::stand;
use streaming::{ExecStreams, ExitStatus, Protocol, TerminalSize, client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Makes the request of a URL and leaves the connection upgraded.
async fn upgraded(url: &str, protocol: &str) -> TcpStream {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut io = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    io.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(io.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    io
}

async fn read_all(io: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut io = io;
    let mut text = String::new();
    io.read_to_string(&mut text).await.unwrap();
    text
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_carries_input_output_and_the_exit_code() {
    let Some(stand) = stand("s-exec").await else { return };
    let pod = stand.pod("web").await;
    let id = stand.run(&pod, "main", &["sleep", "1000"]).await;
    let cmd = words(&["sh", "-c", "cat; echo err >&2; exit 3"]);
    let request = v1::ExecRequest { container_id: id, cmd, stdin: true, stdout: true, stderr: true, tty: false };
    let url = stand.runtime.exec(request).await.unwrap().url;
    let io = upgraded(&url, "v5.channel.k8s.io").await;
    let streams = ExecStreams { stdin: true, stdout: true, stderr: true, tty: false };
    let mut session = client::exec(io, Protocol::WebSocketV5, streams).await.unwrap();
    let (mut stdin, stdout, stderr) =
        (session.stdin.take().unwrap(), session.stdout.take().unwrap(), session.stderr.take().unwrap());
    let big = "x".repeat(1 << 20);
    let write = async {
        stdin.write_all(big.as_bytes()).await.unwrap();
        drop(stdin);
    };
    let ((), out, err) = tokio::join!(write, read_all(stdout), read_all(stderr));
    assert!(out == big, "{} bytes came back", out.len());
    assert_eq!(err, "err\n");
    assert_eq!(session.wait().await.unwrap(), ExitStatus::Code(3));
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut again = TcpStream::connect(address).await.unwrap();
    again.write_all(format!("GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    assert!(read_all(again).await.starts_with("HTTP/1.1 404"), "a URL is good once");
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_with_a_terminal_has_its_size() {
    let Some(stand) = stand("s-tty").await else { return };
    let pod = stand.pod("web").await;
    let id = stand.run(&pod, "main", &["sleep", "1000"]).await;
    // The size travels on another channel than what is typed, so it is waited for.
    let script = "until stty size | grep -q 91; do :; done; read line; stty size; tty; echo got $line; exit 4";
    let cmd = words(&["sh", "-c", script]);
    let request = v1::ExecRequest { container_id: id, cmd, stdin: true, stdout: true, stderr: false, tty: true };
    let url = stand.runtime.exec(request).await.unwrap().url;
    let io = upgraded(&url, "v5.channel.k8s.io").await;
    let streams = ExecStreams { stdin: true, stdout: true, stderr: false, tty: true };
    let mut session = client::exec(io, Protocol::WebSocketV5, streams).await.unwrap();
    session.resize.as_ref().unwrap().send(TerminalSize { width: 91, height: 17 }).await.unwrap();
    let (mut stdin, stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    stdin.write_all(b"hello\n").await.unwrap();
    let out = read_all(stdout).await;
    assert_eq!(out, "hello\r\n17 91\r\n/dev/pts/0\r\ngot hello\r\n");
    assert_eq!(session.wait().await.unwrap(), ExitStatus::Code(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_joins_a_running_container() {
    let Some(stand) = stand("s-attach").await else { return };
    let pod = stand.pod("web").await;
    let mut config = stand
        .container("main", &["sh", "-c", "echo ready; while read line; do echo got $line; done; echo end; exit 2"]);
    config.stdin = true;
    config.stdin_once = true;
    let id = stand.create(&pod, config).await;
    stand.runtime.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
    stand.says("main", "ready").await;
    stand.kill_shim(&pod);
    let attached = async {
        loop {
            // While the shim is on its way back, there is nothing to attach to.
            let request =
                v1::AttachRequest { container_id: id.clone(), stdin: true, stdout: true, stderr: true, tty: false };
            let url = stand.runtime.attach(request).await.unwrap().url;
            let io = upgraded(&url, "v5.channel.k8s.io").await;
            let streams = ExecStreams { stdin: true, stdout: true, stderr: true, tty: false };
            let mut session = client::exec(io, Protocol::WebSocketV5, streams).await.unwrap();
            let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
            stdin.write_all(b"one\n").await.unwrap();
            let mut line = [0; 8];
            if stdout.read_exact(&mut line).await.is_ok() {
                return (session, stdin, stdout, String::from_utf8_lossy(&line).into_owned());
            }
        }
    };
    let (_session, mut stdin, stdout, line) =
        tokio::time::timeout(std::time::Duration::from_secs(20), attached).await.unwrap();
    assert_eq!(line, "got one\n");
    stdin.write_all(b"two\n").await.unwrap();
    drop(stdin);
    assert_eq!(read_all(stdout).await, "got two\nend\n", "stdinOnce: the end of input reaches the container");
    assert!([2, 255].contains(&stand.ended(&id).await.exit_code));
    assert_eq!(stand::texts(&stand.log("main").await, "stdout"), ["ready", "got one", "got two", "end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_with_a_terminal_keeps_it_over_its_shims_death() {
    let Some(stand) = stand("s-tty-adopt").await else { return };
    let pod = stand.pod("web").await;
    let mut config = stand
        .container("main", &["sh", "-c", "tty; i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo n $i; sleep 0.05; done"]);
    config.tty = true;
    let id = stand.create(&pod, config).await;
    stand.runtime.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
    stand.says("main", "n 3").await;
    stand.kill_shim(&pod);
    assert!([0, 255].contains(&stand.ended(&id).await.exit_code));
    let lines = stand::texts(&stand.log("main").await, "stdout");
    assert_eq!((lines.len(), lines[0].as_str(), lines[40].as_str()), (41, "/dev/pts/0", "n 40"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_a_pod_are_reached() {
    let Some(stand) = stand("s-forward").await else { return };
    let pod = stand.pod("web").await;
    stand.run(&pod, "main", &["sh", "-c", "echo up; while :; do echo hello | nc -l -p 8080 127.0.0.1; done"]).await;
    stand.says("main", "up").await;
    let get = async {
        loop {
            let request = v1::PortForwardRequest { pod_sandbox_id: pod.clone(), port: vec![8080] };
            let url = stand.runtime.port_forward(request).await.unwrap().url;
            let io = upgraded(&url, "v4.channel.k8s.io").await;
            let mut ws = io;
            // Channel 0 is data: [channel, port low, port high], then the bytes.
            let mut got = Vec::new();
            let mut buffer = [0; 1024];
            while let Ok(n @ 1..) = ws.read(&mut buffer).await {
                got.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&got).into_owned();
                if text.contains("hello\n") || text.contains("failed to connect") {
                    break;
                }
            }
            if String::from_utf8_lossy(&got).contains("hello\n") {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), get).await.expect("the port answers");
}
