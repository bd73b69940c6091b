//! The node's end of `ironclad image`: takes one order a connection and answers with one line (launcher::verbs::image).

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use cri::{Runtime, v1};
use launcher::verbs::image::{Answer, Image, Order, SOCKET};
use runtime::Builtin;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Archives are unpacked on blocking threads; more at once only makes each slower.
const ORDERS_MAX: usize = 4;
const LINE_BYTES_MAX: u64 = 4096;
/// A process out of descriptors gets them back by waiting, not by asking again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens where only root of the node reaches.
pub fn serve(tasks: &mut JoinSet<()>, runtime: Arc<Builtin>) -> io::Result<()> {
    let _ = std::fs::remove_file(SOCKET);
    let listener = UnixListener::bind(SOCKET)?;
    std::fs::set_permissions(SOCKET, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    tasks.spawn(async move {
        let turns = Arc::new(Semaphore::new(ORDERS_MAX));
        let mut orders = JoinSet::new();
        loop {
            let Ok(turn) = turns.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("cannot take an order about images: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let runtime = runtime.clone();
            orders.spawn(async move {
                if let Err(error) = take(stream, &runtime).await {
                    tracing::warn!("an order about images failed: {error}");
                }
                drop(turn);
            });
            while orders.try_join_next().is_some() {}
        }
    });
    Ok(())
}

async fn take(stream: tokio::net::UnixStream, runtime: &Arc<Builtin>) -> io::Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let asked = tokio::task::spawn_blocking(move || read_order(stream)).await.map_err(io::Error::other)??;
    let (order, mut reader) = asked;
    let answer = match order {
        Order::Load => {
            let store = runtime.images();
            let done = tokio::task::spawn_blocking(move || {
                let loaded = runtime::image::archive::import(&store, &mut reader, None);
                (loaded, reader)
            });
            let (loaded, back) = done.await.map_err(io::Error::other)?;
            reader = back;
            loaded.map_err(|error| error.to_string()).map(|records| {
                let image = |r: runtime::image::Record| Image {
                    id: r.id,
                    tags: r.tags.into_iter().collect(),
                    size_bytes: r.size_bytes,
                };
                records.into_iter().map(image).collect()
            })
        }
        Order::List => list(runtime).await,
        Order::Remove { image } => {
            let request = v1::RemoveImageRequest { image: Some(spec(&image)) };
            runtime.remove_image(request).await.map(|()| Vec::new()).map_err(|error| error.to_string())
        }
        Order::Pull { image } => {
            let request = v1::PullImageRequest { image: Some(spec(&image)), ..Default::default() };
            runtime.pull_image(request).await.map(|_| Vec::new()).map_err(|error| error.to_string())
        }
    };
    let answer = match answer {
        Ok(images) => Answer::Done(images),
        Err(why) => Answer::Failed(why),
    };
    tokio::task::spawn_blocking(move || {
        let mut line = serde_json::to_vec(&answer).map_err(io::Error::other)?;
        line.push(b'\n');
        reader.into_inner().write_all(&line)
    })
    .await
    .map_err(io::Error::other)?
}

fn read_order(stream: UnixStream) -> io::Result<(Order, BufReader<UnixStream>)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    io::Read::take(&mut reader, LINE_BYTES_MAX).read_line(&mut line)?;
    Ok((serde_json::from_str(&line).map_err(io::Error::other)?, reader))
}

fn spec(image: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: image.to_owned(), ..Default::default() }
}

async fn list(runtime: &Arc<Builtin>) -> Result<Vec<Image>, String> {
    let listed = runtime.list_images(v1::ListImagesRequest::default()).await.map_err(|error| error.to_string())?;
    let image = |image: v1::Image| Image { id: image.id, tags: image.repo_tags, size_bytes: image.size };
    Ok(listed.images.into_iter().map(image).collect())
}
