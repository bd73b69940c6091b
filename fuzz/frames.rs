//! Bytes of a peer on an upgraded connection (exec, attach, port-forward), in every protocol. Each input must end: no
//! panic, no stall, and no more in memory than the streams' bounds.
//!
//! Shared by cargo-fuzz (`fuzz_targets/stream.rs`) and by the seeded test in `crates/streaming/tests/round_trip.rs`.
#![allow(dead_code, clippy::unwrap_used)] // Each user of this file uses a part of it.

use std::time::Duration;

use streaming::{ExecStreams, ExitStatus, Protocol, serve_exec, serve_port_forward};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex, sink};

/// No input may take longer (in a debug build on a busy machine).
const WITHIN: Duration = Duration::from_secs(10);
const PIPE_LEN: usize = 1 << 20;

const EXEC: [Protocol; 4] = [Protocol::WebSocketV1, Protocol::WebSocketV4, Protocol::WebSocketV5, Protocol::Spdy];
const FORWARD: [Protocol; 4] =
    [Protocol::Spdy, Protocol::SpdyOverWebSocket, Protocol::WebSocketV4, Protocol::WebSocketV5];

/// Kinds of connections that the first byte of an input chooses from.
pub const KINDS: usize = EXEC.len() * 2 + FORWARD.len();

/// Takes what a peer sends, and answers it, until the peer has said everything.
pub async fn stream(kind: usize, data: &[u8]) {
    let (mut peer, io) = duplex(PIPE_LEN);
    let kind = kind % KINDS;
    let serving = async {
        match EXEC.get(kind / 2) {
            Some(protocol) => exec(io, *protocol, kind % 2 == 1).await,
            None => forward(io, FORWARD[kind - EXEC.len() * 2]).await,
        }
    };
    let sending = async {
        let (mut answers, mut out) = tokio::io::split(&mut peer);
        let talking = async {
            // It may have hung up before everything was said.
            out.write_all(data).await.ok();
            out.shutdown().await.ok();
        };
        let mut heard = sink();
        tokio::join!(talking, tokio::io::copy(&mut answers, &mut heard)).1.ok();
    };
    let both = async { tokio::join!(serving, sending) };
    let ended = tokio::time::timeout(WITHIN, both).await;
    assert!(ended.is_ok(), "a connection of kind {kind} does not end: {data:?}");
}

async fn exec(io: DuplexStream, protocol: Protocol, tty: bool) {
    let streams = ExecStreams { stdin: true, stdout: true, stderr: true, tty };
    let Ok(mut session) = serve_exec(io, protocol, streams).await else { return };
    if let Some(mut stdin) = session.stdin.take() {
        tokio::io::copy(&mut stdin, &mut sink()).await.ok();
    }
    if let Some(resize) = &mut session.resize {
        while resize.recv().await.is_some() {}
    }
    session.finish(ExitStatus::Success).await;
}

async fn forward(io: DuplexStream, protocol: Protocol) {
    let Ok(mut forwards) = serve_port_forward(io, protocol, &[80, 81]).await else { return };
    let mut connections = tokio::task::JoinSet::new();
    while let Some(connection) = forwards.next().await {
        let Ok(mut connection) = connection else { continue };
        connections.spawn(async move {
            tokio::io::copy(&mut connection.data, &mut sink()).await.ok();
        });
    }
    connections.join_all().await;
}
