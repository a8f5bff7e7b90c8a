//! Hostile and ordinary clients against a listener on loopback.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Longer than anything here takes; a test that reaches it has failed.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(80);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

struct Running {
    at: SocketAddr,
    shutdown: tokio::sync::watch::Sender<bool>,
    ended: JoinHandle<Drained>,
}

fn limits() -> Limits {
    Limits {
        first_byte: LONG,
        head: LONG,
        idle: LONG,
        ..Limits::default()
    }
}

async fn start<S, B>(limits: Limits, service: S) -> Running
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (shutdown, receiver) = tokio::sync::watch::channel(false);
    let ended = tokio::spawn(serve(
        listener,
        None,
        limits,
        move |_| service.clone(),
        receiver,
    ));
    Running {
        at,
        shutdown,
        ended,
    }
}

async fn start_plain(limits: Limits) -> Running {
    start(
        limits,
        service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        }),
    )
    .await
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.at).await.unwrap()
}

/// All that comes until the connection ends.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, stream.read_to_end(&mut all))
        .await
        .expect("the connection stayed open");
    String::from_utf8_lossy(&all).into_owned()
}

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    while !all.ends_with(b"hello") {
        let mut part = [0; 1024];
        let count = timeout(LONG, stream.read(&mut part))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(count, 0, "ended early: {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&part[..count]);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    for http2 in [true, false] {
        let running = start_plain(Limits {
            first_byte: SHORT,
            http2,
            ..limits()
        })
        .await;
        let began = Instant::now();
        assert_eq!(read_to_end(&mut connect(&running).await).await, "");
        assert!(began.elapsed() >= SHORT);
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off_however_steadily_it_comes() {
    for http2 in [true, false] {
        let running = start_plain(Limits {
            head: SHORT,
            http2,
            ..limits()
        })
        .await;
        let (mut from, mut to) = connect(&running).await.into_split();
        let trickle = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            to.write_all(b"GET / HTTP/1.1\r\nx-long: ").await.unwrap();
            while to.write_all(b"x").await.is_ok() {
                ticks.tick().await;
            }
        });
        let mut nothing = [0];
        let end = timeout(LONG, from.read(&mut nothing))
            .await
            .expect("the connection stayed open");
        assert!(matches!(end, Ok(0) | Err(_)));
        timeout(LONG, trickle).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_until_it_idles_too_long() {
    for http2 in [true, false] {
        let running = start_plain(Limits {
            idle: SHORT,
            http2,
            ..limits()
        })
        .await;
        let mut stream = connect(&running).await;
        for _ in 0..2 {
            stream.write_all(REQUEST).await.unwrap();
            assert!(
                read_answer(&mut stream)
                    .await
                    .starts_with("HTTP/1.1 200 OK\r\n")
            );
        }
        let began = Instant::now();
        assert_eq!(read_to_end(&mut stream).await, "");
        assert!(began.elapsed() >= SHORT / 2);
    }
}

#[tokio::test]
async fn a_request_that_is_being_handled_is_not_idle() {
    let running = start(
        Limits {
            idle: SHORT,
            head: SHORT,
            first_byte: SHORT,
            ..limits()
        },
        service_fn(|_| async {
            tokio::time::sleep(SHORT * 4).await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        }),
    )
    .await;
    let mut stream = connect(&running).await;
    stream.write_all(REQUEST).await.unwrap();
    read_answer(&mut stream).await;
}

/// A body without end; says when it is dropped.
struct Endless(mpsc::UnboundedSender<()>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16_384])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let (dropped, mut when_dropped) = mpsc::unbounded_channel();
    let service = service_fn(move |_| {
        let body = Endless(dropped.clone());
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let running = start(
        Limits {
            idle: SHORT,
            ..limits()
        },
        service,
    )
    .await;
    let mut stream = connect(&running).await;
    stream.write_all(REQUEST).await.unwrap();
    assert_eq!(timeout(LONG, when_dropped.recv()).await, Ok(Some(())));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = start_plain(limits()).await;
    let mut stream = connect(&running).await;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "y".repeat(40_000)
    );
    // The rest is not taken, so the connection may be reset before the answer is read.
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = read_to_end(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_told_to_come_back() {
    let running = start_plain(Limits {
        connections_max: 1,
        ..limits()
    })
    .await;
    let mut first = connect(&running).await;
    first.write_all(REQUEST).await.unwrap();
    read_answer(&mut first).await;
    let refusal = read_to_end(&mut connect(&running).await).await;
    assert!(
        refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("retry-after: 1\r\n"),
        "{refusal}"
    );
    first.write_all(REQUEST).await.unwrap();
    read_answer(&mut first).await;
}

#[tokio::test]
async fn http_2_and_http_1_are_spoken_on_one_port() {
    let running = start_plain(limits()).await;
    let (mut sender, connection) = hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(connect(&running).await),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{}/", running.at))
        .body(Full::default())
        .unwrap();
    let answer = timeout(LONG, sender.send_request(request))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    let mut stream = connect(&running).await;
    stream.write_all(REQUEST).await.unwrap();
    read_answer(&mut stream).await;
}

#[tokio::test]
async fn a_service_knows_the_remote_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let (_shutdown, receiver) = tokio::sync::watch::channel(false);
    let service_for = move |remote| {
        record.lock().unwrap().push(remote);
        service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        })
    };
    tokio::spawn(serve(listener, None, limits(), service_for, receiver));
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    read_answer(&mut stream).await;
    assert_eq!(*seen.lock().unwrap(), [stream.local_addr().unwrap()]);
}

/// A listener whose requests are told of on a channel and wait to be released.
async fn start_waiting(limits: Limits) -> (Running, mpsc::UnboundedReceiver<()>, Arc<Notify>) {
    let (begun, when_begun) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let service = service_fn(move |_| {
        let (begun, released) = (begun.clone(), Arc::clone(&released));
        async move {
            let _ = begun.send(());
            released.notified().await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        }
    });
    (start(limits, service).await, when_begun, release)
}

#[tokio::test]
async fn a_shutdown_closes_idle_connections_and_lets_requests_finish() {
    let (running, mut when_begun, release) = start_waiting(limits()).await;
    let mut idle = connect(&running).await;
    let mut busy = connect(&running).await;
    busy.write_all(REQUEST).await.unwrap();
    when_begun.recv().await.unwrap();
    running.shutdown.send(true).unwrap();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(
        TcpStream::connect(running.at).await.is_err(),
        "no new connection is taken"
    );
    release.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("hello"));
    assert_eq!(
        timeout(LONG, running.ended).await.unwrap().unwrap(),
        Drained { cut_off: 0 }
    );
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_cut_off_when_the_grace_is_over() {
    let (running, mut when_begun, _release) = start_waiting(Limits {
        grace: SHORT,
        ..limits()
    })
    .await;
    let mut busy = connect(&running).await;
    busy.write_all(REQUEST).await.unwrap();
    when_begun.recv().await.unwrap();
    running.shutdown.send(true).unwrap();
    assert_eq!(
        timeout(LONG, running.ended).await.unwrap().unwrap(),
        Drained { cut_off: 1 }
    );
    assert_eq!(read_to_end(&mut busy).await, "");
}
