use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use object_store::{GetOptions, ObjectStore, buffered::BufWriter};
use serde_json::json;
use stepwell_pipeline::{
    StageError,
    store::{self, ObjectRef},
};
use stepwell_trigger::{Ports, handler};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{
    gateway,
    links::{FILES, LocalLinks},
};

/// The most bytes of a request that is no upload: what API Gateway takes (API Gateway Developer Guide, "Quotas for HTTP
/// APIs").
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Answers whoever connects.
pub(super) async fn accept(listener: TcpListener, ports: Ports, links: Arc<LocalLinks>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // There are no more file handles, for instance.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (ports, links) = (ports.clone(), links.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (ports, links) = (ports.clone(), links.clone());
                async move { Ok::<_, std::convert::Infallible>(answer(&ports, &links, request).await) }
            });
            // Clients that hang up end here.
            let _ =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(ports: &Ports, links: &LocalLinks, request: Request<Incoming>) -> Response<Body> {
    if !is_for_us(request.headers().get(header::HOST)) {
        let detail = "the server is asked by its address or as localhost";
        return problem(StatusCode::MISDIRECTED_REQUEST, "AccessDenied", detail);
    }
    if request.uri().path().starts_with(FILES) {
        return file(ports, links, request).await;
    }
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "ContentTooLarge", "the body is too large");
        }
        Err(error) => {
            return problem(StatusCode::BAD_REQUEST, "InvalidInput", &format!("cannot read the body: {error}"));
        }
    };
    let answered = handler(ports, gateway::event(&parts, &body)).await;
    let response = match answered {
        Ok(answer) => gateway::response(&answer),
        Err(error) => {
            eprintln!("request failed: {}", error.report());
            None
        }
    };
    match response {
        Some(response) => response.map(full),
        None => problem(StatusCode::INTERNAL_SERVER_ERROR, "Internal", "the function gave no response"),
    }
}

/// Whether the `Host` of a request is an address or `localhost`: no page of another name, which leads a browser here, is
/// to see what is answered (DNS rebinding).
fn is_for_us(host: Option<&header::HeaderValue>) -> bool {
    let Some(host) = host.and_then(|host| host.to_str().ok()) else { return true };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Answers a request by one of our links.
async fn file(ports: &Ports, links: &LocalLinks, request: Request<Incoming>) -> Response<Body> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let Some(object) = links.object(method.as_str(), uri.path(), uri.query()) else {
        let detail = "the link is not one of this server's for this method, or has expired";
        return problem(StatusCode::FORBIDDEN, "AccessDenied", detail);
    };
    let answered = match method {
        Method::PUT => upload(ports, &object, request.into_body()).await,
        _ => download(ports, &object).await,
    };
    answered.unwrap_or_else(|error| {
        eprintln!("{method} of {object} failed: {}", error.report());
        problem(StatusCode::INTERNAL_SERVER_ERROR, error.kind().name(), &error.report())
    })
}

/// Keeps a body as an object, which appears when all of it is there. The landing folder's watch finds it.
async fn upload(ports: &Ports, object: &ObjectRef, body: Incoming) -> Result<Response<Body>, StageError> {
    let writing = |error| store::classify(error, &format!("cannot write {object}"));
    let mut writer = BufWriter::new(ports.context.stores.bucket(&object.bucket)?, store::path(&object.key)?);
    let mut body = body.into_data_stream();
    loop {
        match body.try_next().await {
            Ok(Some(bytes)) => writer.put(bytes).await.map_err(writing)?,
            Ok(None) => break,
            Err(error) => {
                let _ = writer.abort().await;
                return Ok(problem(StatusCode::BAD_REQUEST, "InvalidInput", &format!("the upload broke off: {error}")));
            }
        }
    }
    writer.shutdown().await.map_err(|error| store::classify_io(error, &format!("cannot write {object}")))?;
    Ok(Response::new(full(Bytes::new())))
}

async fn download(ports: &Ports, object: &ObjectRef) -> Result<Response<Body>, StageError> {
    let bucket = ports.context.stores.bucket(&object.bucket)?;
    let found = match bucket.get_opts(&store::path(&object.key)?, GetOptions::default()).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => {
            return Ok(problem(StatusCode::NOT_FOUND, "SourceMissing", &format!("there is no {object}")));
        }
        Err(error) => return Err(store::classify(error, &format!("cannot read {object}"))),
    };
    let bytes = found.meta.size;
    let frames = found.into_stream().map_ok(Frame::data).map_err(|error| Box::new(error) as BoxError);
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type(&object.key)));
    // A report shows values of the data; whatever they hold, it is only to be looked at.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        header::HeaderValue::from_static("sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    );
    Ok(response)
}

fn content_type(key: &str) -> &'static str {
    match key.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("csv") => "text/csv",
        _ => "application/octet-stream",
    }
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn problem(status: StatusCode, title: &str, detail: &str) -> Response<Body> {
    let body = json!({
        "type": format!("urn:stepwell:problem:{title}"),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = Response::new(full(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
