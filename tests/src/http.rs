//! The little HTTP that the servers and clients of the tests need.

use std::{convert::Infallible, fmt, future::Future, net::SocketAddr, sync::LazyLock};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{Request, Response, StatusCode, Uri, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use percent_encoding::percent_decode_str;
pub use stepwell_sandbox::http::send;
use tokio::net::TcpListener;

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

static CLIENT: LazyLock<Client<HttpConnector, Body>> =
    LazyLock::new(|| Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http());

/// What a handler returns to close the connection without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// A listener on a free port, or on the given one, of 127.0.0.1.
pub(crate) fn listen(port: u16) -> (TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))
        .unwrap_or_else(|error| panic!("cannot listen on 127.0.0.1:{port}: {error}"));
    listener.set_nonblocking(true).expect("a listener can be made asynchronous");
    let address = listener.local_addr().expect("a listener has an address");
    let _guard = crate::RUNTIME.enter();
    (TcpListener::from_std(listener).expect("the runtime takes the listener"), address)
}

/// Answers every request to the listener with what the handler gives, for as long as the future is polled.
pub(crate) async fn serve<H, F>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Cut>> + Send + 'static,
{
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let handler = handler.clone();
        connections.spawn(async move {
            // Clients that hang up, and connections that are cut on purpose, end here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handler)).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A body that is at hand.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A response with a body of the given type.
pub(crate) fn reply(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let content_type = content_type.parse().expect("a content type is a header value");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// A JSON response.
pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    reply(status, "application/json", body.to_string())
}

/// A path with its percent escapes decoded.
pub(crate) fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// Passes a request on to another server as it is, and its answer back.
pub(crate) async fn forward(request: Request<Incoming>, to: SocketAddr) -> Result<Response<Body>, Cut> {
    send_on(request.map(BodyExt::boxed), to).await
}

/// As [`forward`], for a request whose body was read.
pub(crate) async fn forward_whole(request: Request<Bytes>, to: SocketAddr) -> Result<Response<Body>, Cut> {
    send_on(request.map(full), to).await
}

async fn send_on(mut request: Request<Body>, to: SocketAddr) -> Result<Response<Body>, Cut> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{to}{path}").parse::<Uri>().map_err(|_| Cut)?;
    request.headers_mut().remove(header::CONNECTION);
    match CLIENT.request(request).await {
        Ok(response) => Ok(response.map(BodyExt::boxed)),
        Err(_) => Err(Cut),
    }
}
