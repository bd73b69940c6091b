//! Both sides of every protocol against each other, over a pipe in memory.

#[path = "../../../fuzz/frames.rs"]
mod frames;

use std::time::Duration;

use streaming::{
    ExecSession, ExecStreams, ExitStatus, Forward, Protocol, TerminalSize, client, serve_exec, serve_port_forward,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const ALL: ExecStreams = ExecStreams { stdin: true, stdout: true, stderr: true, tty: false };
const EXEC: [Protocol; 4] = [Protocol::WebSocketV1, Protocol::WebSocketV4, Protocol::WebSocketV5, Protocol::Spdy];
const FORWARD: [Protocol; 2] = [Protocol::Spdy, Protocol::SpdyOverWebSocket];

async fn pair(protocol: Protocol, streams: ExecStreams) -> (ExecSession, client::ClientSession) {
    // Smaller than the messages, so that every read and write is cut.
    let (ours, theirs) = duplex(1000);
    let (server, client) = tokio::join!(serve_exec(ours, protocol, streams), client::exec(theirs, protocol, streams));
    (server.expect("server"), client.expect("client"))
}

async fn read_all(io: Option<DuplexStream>) -> Vec<u8> {
    let mut bytes = Vec::new();
    io.expect("stream").read_to_end(&mut bytes).await.expect("read");
    bytes
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 7919) >> 3) as u8).collect()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

#[tokio::test]
async fn output_arrives_whole_and_before_the_exit_code() {
    for protocol in EXEC {
        let (mut server, mut client) = within(pair(protocol, ALL)).await;
        let (out, err) = (noise(1 << 20), noise(100_000));
        let (mut stdout, mut stderr) = (server.stdout.take().expect("out"), server.stderr.take().expect("err"));
        let (expected_out, expected_err) = (out.clone(), err.clone());
        let command = async move {
            stdout.write_all(&out).await.expect("write");
            stderr.write_all(&err).await.expect("write");
            drop((stdout, stderr));
            server.finish(ExitStatus::Code(7)).await;
        };
        let (stdout, stderr) = (client.stdout.take(), client.stderr.take());
        let user = async { (tokio::join!(read_all(stdout), read_all(stderr)), client.wait().await.expect("status")) };
        let ((), ((out, err), status)) = within(async { tokio::join!(command, user) }).await;
        assert!(out == expected_out && err == expected_err, "{protocol:?}");
        let expected = match protocol {
            Protocol::WebSocketV1 => {
                ExitStatus::Failed("command terminated with non-zero exit code: exit status 7".into())
            }
            _ => ExitStatus::Code(7),
        };
        assert_eq!(status, expected, "{protocol:?}");
    }
}

#[tokio::test]
async fn the_end_of_stdin_reaches_the_command_while_its_output_goes_on() {
    for protocol in [Protocol::WebSocketV5, Protocol::Spdy] {
        let (mut server, mut client) = within(pair(protocol, ALL)).await;
        let command = async move {
            let input = read_all(server.stdin.take()).await;
            let mut stdout = server.stdout.take().expect("out");
            stdout.write_all(&input).await.unwrap_or_else(|e| panic!("{protocol:?} after the end of stdin: {e}"));
            drop(stdout);
            server.finish(ExitStatus::Success).await;
        };
        let mut stdin = client.stdin.take().expect("in");
        let user = async {
            stdin.write_all(&noise(600_000)).await.expect("write");
            drop(stdin);
            let stderr = client.stderr.take();
            let output = tokio::join!(read_all(client.stdout.take()), read_all(stderr)).0;
            (output, client.wait().await.expect("status"))
        };
        let ((), (output, status)) = within(async { tokio::join!(command, user) }).await;
        assert!(output == noise(600_000), "{protocol:?}");
        assert_eq!(status, ExitStatus::Success, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_terminal_has_one_output_and_is_resized() {
    let tty = ExecStreams { tty: true, ..ALL };
    for protocol in EXEC {
        let (mut server, mut client) = within(pair(protocol, tty)).await;
        assert!(server.stderr.is_none() && client.stderr.is_none());
        let resize = client.resize.take().expect("resize");
        let mut sizes = server.resize.take().expect("resize");
        for width in [80, 132] {
            resize.send(TerminalSize { width, height: 24 }).await.expect("send");
            assert_eq!(within(sizes.recv()).await, Some(TerminalSize { width, height: 24 }), "{protocol:?}");
        }
        let mut stdin = client.stdin.take().expect("in");
        stdin.write_all(b"ls\r").await.expect("write");
        let mut typed = [0; 3];
        within(server.stdin.as_mut().expect("in").read_exact(&mut typed)).await.expect("read");
        assert_eq!(&typed, b"ls\r");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    for protocol in EXEC {
        let (mut server, client) = within(pair(protocol, ALL)).await;
        let closed = server.closed();
        drop(client);
        within(closed).await;
        assert_eq!(within(read_all(server.stdin.take())).await, b"", "{protocol:?}");
        let mut stdout = server.stdout.take().expect("out");
        let written = async { while stdout.write_all(&[0; 1000]).await.is_ok() {} };
        within(written).await;
        within(server.finish(ExitStatus::Success)).await;
    }
}

/// No time-out of ours may cut a shell that somebody left open over the weekend.
#[tokio::test(start_paused = true)]
async fn what_idles_for_days_goes_on() {
    const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);
    for protocol in EXEC {
        let (mut server, mut client) = within(pair(protocol, ALL)).await;
        tokio::time::sleep(DAYS).await;
        server.stdout.as_mut().expect("out").write_all(b"still").await.expect("write");
        client.stdin.as_mut().expect("in").write_all(b"there").await.expect("write");
        let (mut out, mut typed) = ([0; 5], [0; 5]);
        within(client.stdout.as_mut().expect("out").read_exact(&mut out)).await.expect("read");
        within(server.stdin.as_mut().expect("in").read_exact(&mut typed)).await.expect("read");
        assert_eq!((&out, &typed), (b"still", b"there"), "{protocol:?}");
    }
    for protocol in FORWARD {
        let (ours, theirs) = duplex(1000);
        let (server, client) =
            tokio::join!(serve_port_forward(ours, protocol, &[]), client::port_forward(theirs, protocol));
        let (mut server, client) = (server.expect("server"), client.expect("client"));
        tokio::time::sleep(DAYS).await;
        let (served, connection) = within(async { tokio::join!(server.next(), client.connect(80)) }).await;
        let (mut served, mut connection) = (served.expect("a connection").expect("forward"), connection.expect("port"));
        tokio::time::sleep(DAYS).await;
        served.data.write_all(b"still").await.expect("write");
        let mut found = [0; 5];
        within(connection.data.read_exact(&mut found)).await.expect("read");
        assert_eq!(&found, b"still", "{protocol:?}");
    }
}

#[tokio::test]
async fn output_that_nobody_reads_holds_the_command_back() {
    for protocol in EXEC {
        let (mut server, _client) = within(pair(protocol, ALL)).await;
        let mut stdout = server.stdout.take().expect("out");
        let mut written = 0usize;
        let fill = async {
            while let Ok(len) = stdout.write(&[0; 4096]).await {
                written += len;
            }
        };
        tokio::select! {
            biased;
            () = fill => panic!("the connection broke"),
            () = idle() => {}
        }
        assert!(written < 4 << 20, "{protocol:?} buffers {written} bytes");
    }
}

/// Until all other tasks wait.
async fn idle() {
    for _ in 0..20_000 {
        tokio::task::yield_now().await;
    }
}

async fn echo_shouting(mut forward: Forward) {
    if forward.port == 81 {
        forward.error.write_all(b"nobody listens on port 81").await.expect("write");
        return;
    }
    let mut input = Vec::new();
    forward.data.read_to_end(&mut input).await.expect("read");
    input.make_ascii_uppercase();
    forward.data.write_all(&input).await.expect("write");
}

#[tokio::test]
async fn connections_to_ports_run_side_by_side_and_close_by_halves() {
    for protocol in FORWARD {
        let (ours, theirs) = duplex(1000);
        let (server, client) = within(async {
            tokio::join!(serve_port_forward(ours, protocol, &[]), client::port_forward(theirs, protocol))
        })
        .await;
        let (mut server, client) = (server.expect("server"), client.expect("client"));
        let serve = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Some(forward) = server.next().await {
                connections.spawn(echo_shouting(forward.expect("forward")));
            }
            connections.join_all().await;
        });
        let text = |i: usize| format!("hello {i} ").repeat(3000);
        let connect = |i: usize| {
            let client = &client;
            async move {
                let mut connection = client.connect(8080).await.expect("connect");
                connection.data.write_all(text(i).as_bytes()).await.expect("write");
                connection.data.shutdown().await.expect("half-close");
                let answer = tokio::join!(read_all(Some(connection.data)), read_all(Some(connection.error)));
                assert!(answer.0 == text(i).to_uppercase().into_bytes(), "{protocol:?} connection {i}");
                assert_eq!(answer.1, b"");
            }
        };
        within(futures::future::join_all((0..20).map(connect))).await;
        let refused = client.connect(81).await.expect("connect");
        assert_eq!(within(read_all(Some(refused.error))).await, b"nobody listens on port 81");
        drop(client);
        within(serve).await.expect("the server ends with its client");
    }
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    for (protocol, garbage) in [
        (Protocol::Spdy, &b"GET / HTTP/1.1\r\n\r\n and more of the same"[..]),
        (Protocol::SpdyOverWebSocket, &[0x82, 0x85, 1, 2, 3, 4, 9, 9, 9, 9, 9]),
        (Protocol::SpdyOverWebSocket, &[0xff; 64]),
    ] {
        let (ours, mut theirs) = duplex(1000);
        let mut server = within(serve_port_forward(ours, protocol, &[])).await.expect("server");
        theirs.write_all(garbage).await.expect("write");
        theirs.shutdown().await.expect("shutdown");
        assert!(within(server.next()).await.is_none(), "{protocol:?}");
    }
}

/// What a client says to the server while it opens its streams and uses them.
async fn recorded(protocol: Protocol, is_exec: bool) -> Vec<u8> {
    let ((client_io, near), (far, server_io)) = (duplex(1 << 20), duplex(1 << 20));
    let (mut from_client, mut to_client) = tokio::io::split(near);
    let (mut from_server, mut to_server) = tokio::io::split(far);
    let answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let said = tokio::spawn(async move {
        let (mut said, mut part) = (Vec::new(), [0; 4096]);
        while let Ok(len @ 1..) = from_client.read(&mut part).await {
            said.extend_from_slice(&part[..len]);
            to_server.write_all(&part[..len]).await.expect("write");
        }
        said
    });
    if is_exec {
        let (server, client) =
            tokio::join!(serve_exec(server_io, protocol, ALL), client::exec(client_io, protocol, ALL));
        let (server, mut client) = (server.expect("server"), client.expect("client"));
        let mut stdin = client.stdin.take().expect("in");
        stdin.write_all(b"ls -l").await.expect("write");
        drop(stdin);
        server.finish(ExitStatus::Success).await;
    } else {
        let (server, client) =
            tokio::join!(serve_port_forward(server_io, protocol, &[]), client::port_forward(client_io, protocol));
        let (mut server, client) = (server.expect("server"), client.expect("client"));
        let (served, connection) = tokio::join!(server.next(), client.connect(80));
        connection.expect("connection").data.write_all(b"GET /").await.expect("write");
        idle().await;
        drop((served, client));
    }
    let said = within(said).await.expect("all that was said");
    answers.abort();
    said
}

/// `FUZZ_CASES` asks for more, as CI does. The clock stands still but where all wait: what waits for a peer's goodbye is
/// not waited for.
#[tokio::test(start_paused = true)]
async fn whatever_a_peer_sends_ends() {
    let cases: u64 = std::env::var("FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let mut seeds = Vec::new();
    for protocol in EXEC {
        seeds.push(within(recorded(protocol, true)).await);
    }
    for protocol in FORWARD {
        seeds.push(within(recorded(protocol, false)).await);
    }
    let mut state = 7u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    for _ in 0..cases {
        let mut data = seeds[below(seeds.len())].clone();
        for _ in 0..=below(5) {
            let at = below(data.len());
            match below(5) {
                0 if at < data.len() => data[at] = below(256) as u8,
                1 if at < data.len() => data[at] ^= 1 << below(8),
                2 => data.truncate(at),
                3 => drop(data.splice(at..at, [0xff, 0x7f, 0, 0x80].repeat(below(8)))),
                _ => {
                    let again = data[at..].repeat(below(3));
                    data.extend(again);
                }
            }
        }
        frames::stream(below(frames::KINDS), &data).await;
    }
}

#[tokio::test]
async fn a_stream_that_was_not_asked_for_is_an_error() {
    let (ours, theirs) = duplex(1000);
    let only_output = ExecStreams { stdout: true, ..ExecStreams::default() };
    let (server, _client) = within(async {
        tokio::join!(serve_exec(ours, Protocol::Spdy, only_output), client::exec(theirs, Protocol::Spdy, ALL))
    })
    .await;
    let Err(error) = server else { panic!("stdin was taken") };
    assert_eq!(error.to_string(), r#"the peer broke the protocol: a stream of type "stdin" was not asked for"#);
}

#[tokio::test]
async fn plain_websockets_begin_each_channel_with_its_port_and_end_with_the_last_connection() {
    use futures::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::{Message, protocol::Role};

    let (near, far) = tokio::io::duplex(1 << 20);
    let mut server = streaming::serve_port_forward(far, Protocol::WebSocketV4, &[8080, 80]).await.unwrap();
    let serving = tokio::spawn(async move {
        while let Some(forward) = server.next().await {
            let mut forward = forward.unwrap();
            // Said at once: it must not be joined to the port.
            forward.data.write_all(b"hello").await.unwrap();
            let mut said = [0; 2];
            forward.data.read_exact(&mut said).await.unwrap();
        }
    });
    let mut client = tokio_tungstenite::WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(within(client.next()).await.unwrap().unwrap().into_data().to_vec());
    }
    assert_eq!(seen, [&[0, 0x90, 0x1f][..], &[1, 0x90, 0x1f], &[2, 80, 0], &[3, 80, 0], b"\0hello"]);
    client.send(Message::binary(b"\0ok".to_vec())).await.unwrap();
    assert_eq!(within(client.next()).await.unwrap().unwrap().into_data().to_vec(), b"\x02hello");
    client.send(Message::binary(b"\x02ok".to_vec())).await.unwrap();
    assert!(
        matches!(within(client.next()).await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1000)
    );
    drop(client);
    within(serving).await.unwrap();
}
