//! WebSockets over TLS: two tasks for each pair, and the change of [`super::unmask`] between them. Buffers
//! are taken from a pool while there is something in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Context as _;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf, split,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::unmask::Unmask;
use super::{ready, tls_config, upgrade};

type Stream = TlsStream<TcpStream>;
type Waiting = Rc<RefCell<HashMap<Vec<u8>, Stream>>>;

/// Relays for ever.
pub(super) async fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    ready(listener.local_addr())?;
    let acceptor = TlsAcceptor::from(Arc::new(tls_config(b"http/1.1")?));
    let waiting = Waiting::default();
    let accepting = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let (acceptor, waiting) = (acceptor.clone(), waiting.clone());
            // A connection that fails concerns its two peers only.
            spawn_local(async move { connection(stream, &acceptor, &waiting).await.ok() });
        }
    };
    LocalSet::new().run_until(accepting).await
}

async fn connection(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    waiting: &Waiting,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut request = Vec::new();
    while !request.ends_with(upgrade::END) {
        anyhow::ensure!(stream.read_buf(&mut request).await? > 0, "it ended");
    }
    let (token, answer) = upgrade::answer(&request).context("no WebSocket")?;
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await?;
    let peer = waiting.borrow_mut().remove(&token);
    let Some(peer) = peer else {
        waiting.borrow_mut().insert(token, stream);
        return Ok(());
    };
    let ((from_one, to_one), (from_two, to_two)) = (split(stream), split(peer));
    spawn_local(async move { pass(from_one, to_two).await.ok() });
    pass(from_two, to_one).await
}

async fn pass(mut from: ReadHalf<Stream>, mut to: WriteHalf<Stream>) -> anyhow::Result<()> {
    let mut unmask = Unmask::default();
    loop {
        let read = std::future::poll_fn(|context| read(&mut from, &unmask, context));
        let (mut buffer, read) = read.await?;
        let made = unmask.run(&mut buffer[..read]);
        let made = made.map_err(|_| anyhow::anyhow!("it is not masked"))?;
        to.write_all(&buffer[..made]).await?;
        to.flush().await?;
        POOL.with_borrow_mut(|pool| pool.push(buffer));
    }
}

/// A buffer with what was cut and what came, once something came.
fn read(
    from: &mut ReadHalf<Stream>,
    unmask: &Unmask,
    context: &mut Context<'_>,
) -> Poll<anyhow::Result<(Vec<u8>, usize)>> {
    let pooled = POOL.with_borrow_mut(Vec::pop);
    let mut buffer = pooled.unwrap_or_else(|| vec![0; BUFFER_BYTES]);
    let cut = unmask.resume(&mut buffer);
    let mut room = ReadBuf::new(&mut buffer[cut..]);
    let polled = Pin::new(from).poll_read(context, &mut room);
    let read = room.filled().len();
    match polled {
        Poll::Ready(Ok(())) if read > 0 => Poll::Ready(Ok((buffer, cut + read))),
        Poll::Ready(Ok(())) => Poll::Ready(Err(anyhow::anyhow!("it ended"))),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        Poll::Pending => {
            POOL.with_borrow_mut(|pool| pool.push(buffer));
            Poll::Pending
        }
    }
}

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

const BUFFER_BYTES: usize = 128 * 1024;
