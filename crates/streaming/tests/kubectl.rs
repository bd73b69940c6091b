//! The real kubectl against these protocols, where one is installed (otherwise the tests say that they skip).
//!
//! A few lines of HTTP answer what kubectl asks before it upgrades; behind the upgrade stands the code under test.

use std::process::Stdio;

use streaming::{ExecStreams, ExitStatus, Purpose, negotiate, serve_exec, serve_port_forward};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},"spec":{"containers":[{"name":"c","image":"i"}]},"status":{"phase":"Running"}}"#;
const RESOURCES: &str = r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get"]},{"name":"pods/exec","singularName":"","namespaced":true,"kind":"PodExecOptions","verbs":["create","get"]}]}"#;

/// The head of a request, and the connection behind it.
async fn read_head(stream: TcpStream) -> Option<(http::request::Parts, BufReader<TcpStream>)> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    let mut request = http::Request::builder().method(words.next()?).uri(words.next()?);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        request = request.header(name, value);
    }
    Some((request.body(()).ok()?.into_parts().0, stream))
}

async fn answer(stream: TcpStream) {
    let Some((parts, mut stream)) = read_head(stream).await else { return };
    let purpose = match parts.uri.path() {
        path if path.ends_with("/exec") => Purpose::Exec,
        path if path.ends_with("/portforward") => Purpose::PortForward,
        path => {
            let body = match path {
                "/api" => r#"{"kind":"APIVersions","versions":["v1"]}"#,
                "/apis" => r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#,
                "/api/v1" => RESOURCES,
                _ => POD,
            };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
            stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.expect("write");
            return;
        }
    };
    let accepted = negotiate(&parts, purpose).expect("kubectl asks for what we have");
    let mut head = "HTTP/1.1 101 Switching Protocols\r\n".to_owned();
    for (name, value) in &accepted.headers {
        head += &format!("{name}: {}\r\n", value.to_str().expect("text"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("write");
    eprintln!("kubectl speaks {:?}", accepted.protocol);
    match purpose {
        Purpose::Exec => {
            let query = parts.uri.query().unwrap_or_default().to_owned();
            let has = |name: &str| query.split('&').any(|part| part == format!("{name}=true"));
            let streams =
                ExecStreams { stdin: has("stdin"), stdout: has("stdout"), stderr: has("stderr"), tty: has("tty") };
            shout(serve_exec(stream, accepted.protocol, streams).await.expect("exec")).await;
        }
        Purpose::PortForward => {
            let mut forwards = serve_port_forward(stream, accepted.protocol, &[]).await.expect("port-forward");
            while let Some(forward) = forwards.next().await {
                let mut forward = forward.expect("forward");
                let mut line = [0; 5];
                forward.data.read_exact(&mut line).await.expect("read");
                line.make_ascii_uppercase();
                forward.data.write_all(&line).await.expect("write");
                forward.data.write_all(&vec![b'.'; 1 << 20]).await.expect("write");
            }
        }
    }
}

/// The command: gives its input back in capitals, then a line on stderr, then ends with code 3.
async fn shout(mut session: streaming::ExecSession) {
    let mut input = Vec::new();
    session.stdin.take().expect("stdin").read_to_end(&mut input).await.expect("read");
    input.make_ascii_uppercase();
    session.stdout.take().expect("stdout").write_all(&input).await.expect("write");
    session.stderr.take().expect("stderr").write_all(b"to stderr\n").await.expect("write");
    session.finish(ExitStatus::Code(3)).await;
}

struct Peer {
    server: String,
    home: std::path::PathBuf,
    _accepting: tokio::task::JoinSet<()>,
}

impl Peer {
    async fn start(name: &str) -> Option<Self> {
        let found = Command::new("kubectl").args(["version", "--client"]).stdout(Stdio::null()).status().await;
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no kubectl");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let server = format!("http://{}", listener.local_addr().expect("address"));
        let mut accepting = tokio::task::JoinSet::new();
        accepting.spawn(async move {
            let mut answers = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                answers.spawn(answer(stream));
            }
        });
        let home = std::env::temp_dir().join(format!("ironclad-kubectl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("home");
        Some(Self { server, home, _accepting: accepting })
    }

    fn kubectl(&self, websockets: bool, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(["--server", &self.server, "--kubeconfig", "/dev/null", "-n", "default"]).args(args);
        command.env("HOME", &self.home);
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets.to_string());
        command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.home).ok();
    }
}

#[tokio::test]
async fn kubectl_exec_pipes_streams_and_exit_code() {
    let Some(peer) = Peer::start("exec").await else { return };
    for websockets in [true, false] {
        let mut child = peer.kubectl(websockets, &["exec", "-i", "p", "--", "shout"]).spawn().expect("kubectl");
        let mut stdin = child.stdin.take().expect("piped");
        let input = "hello\n".repeat(100_000);
        let feed = async {
            stdin.write_all(input.as_bytes()).await.expect("write");
            drop(stdin);
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output.expect("output");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.stdout == input.to_uppercase().into_bytes(), "{} bytes; {stderr}", output.stdout.len());
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains("to stderr\n") && stderr.contains("exit code 3"), "{stderr}");
    }
}

#[tokio::test]
async fn kubectl_port_forward_carries_connections() {
    let Some(peer) = Peer::start("forward").await else { return };
    for websockets in [true, false] {
        let mut child = peer.kubectl(websockets, &["port-forward", "p", ":80"]).spawn().expect("kubectl");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next_line().await.expect("line").expect("kubectl tells its port");
        let port = line.split([':', ' ']).find_map(|word| word.parse::<u16>().ok()).expect(&line);
        for _ in 0..3 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
            stream.write_all(b"hello").await.expect("write");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("read");
            assert_eq!((&answer[..5], answer.len()), (&b"HELLO"[..], 5 + (1 << 20)));
        }
        child.kill().await.expect("kill");
    }
}
