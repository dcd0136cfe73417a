//! Lineage events over HTTP, and the choice of where they go.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{config::http::HttpRequest, primitives::SdkBody};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::HttpConnector;
use stepwell_pipeline::{
    ErrorKind, StageError,
    lineage::{Lineage, LineageSink, RunEvent, StoredLineage},
    store::Stores,
};
use tracing::warn;

use crate::fault::Fault;

/// The path that OpenLineage's own clients post to (OpenLineage documentation, "Python client", "HTTP transport").
const DEFAULT_ENDPOINT: &str = "api/v1/lineage";

/// How long an endpoint has for its answer.
const ANSWER_TIME: Duration = Duration::from_secs(4);

/// What is said of lineage in a function's environment.
#[derive(Clone, PartialEq, Eq)]
pub struct LineageSettings {
    /// `work`, `s3://bucket/prefix`, `http://…` or `https://…`.
    pub url: String,
    /// The path of an HTTP endpoint, after that of the URL.
    pub endpoint: Option<String>,
    /// The bearer token of an HTTP endpoint.
    pub api_key: Option<String>,
    /// The namespace of jobs.
    pub namespace: String,
}

impl fmt::Debug for LineageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineageSettings")
            .field("url", &self.url)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl LineageSettings {
    /// The lineage that the settings ask for. For a URL that is none of those there is none, and the log says so: no run
    /// fails for it.
    pub fn connect(&self, stores: Arc<dyn Stores>, work_bucket: &str) -> Option<Lineage> {
        let sink: Arc<dyn LineageSink> = if let Some(prefix) = StoredLineage::place(&self.url, work_bucket) {
            Arc::new(StoredLineage::new(stores, prefix))
        } else if self.url.starts_with("https://") || self.url.starts_with("http://") {
            let address = address(&self.url, self.endpoint.as_deref());
            Arc::new(HttpLineage::new(address, self.api_key.as_deref()))
        } else {
            warn!(url = self.url, "OPENLINEAGE_URL is not `work`, s3://…, http://… or https://…; no lineage is told");
            return None;
        };
        Some(Lineage::new(sink, &self.namespace))
    }
}

/// The address that events are posted to: the URL as it is where it has a path or a query and no endpoint is named.
fn address(url: &str, endpoint: Option<&str>) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let has_path = rest.split_once(['/', '?']).is_some_and(|(_, path)| !path.is_empty());
    match endpoint {
        None if has_path => url.to_owned(),
        endpoint => {
            let endpoint = endpoint.unwrap_or(DEFAULT_ENDPOINT);
            format!("{}/{}", url.trim_end_matches('/'), endpoint.trim_start_matches('/'))
        }
    }
}

/// Posts events to an endpoint.
pub struct HttpLineage {
    connector: Connector,
    address: String,
    authorisation: Option<String>,
}

impl fmt::Debug for HttpLineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLineage").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HttpLineage {
    /// Events to an address, by the SDK's own HTTP client, with a bearer token where there is one.
    pub fn new(address: String, api_key: Option<&str>) -> Self {
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
        Self { connector, address, authorisation: api_key.map(|key| format!("Bearer {key}")) }
    }

    fn request(&self, event: &RunEvent) -> Result<HttpRequest, StageError> {
        let internal = |error: Box<dyn std::error::Error + Send + Sync>| {
            StageError::with_source(ErrorKind::Internal, format!("cannot post to {}", self.address), Told(error))
        };
        let body = serde_json::to_vec(event).map_err(|error| internal(error.into()))?;
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST").map_err(|error| internal(error.into()))?;
        request.set_uri(self.address.as_str()).map_err(|error| internal(error.into()))?;
        let headers = request.headers_mut();
        headers.try_insert("content-type", "application/json").map_err(|error| internal(error.into()))?;
        if let Some(authorisation) = &self.authorisation {
            headers.try_insert("authorization", authorisation.clone()).map_err(|_| {
                let message = "OPENLINEAGE_API_KEY has characters that no header can hold";
                StageError::new(ErrorKind::Internal, message)
            })?;
        }
        Ok(request)
    }
}

/// An error of a library, told as it tells of itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(Box<dyn std::error::Error + Send + Sync>);

#[async_trait]
impl LineageSink for HttpLineage {
    async fn emit(&self, event: &RunEvent) -> Result<(), StageError> {
        let unavailable = |why: String| {
            StageError::new(ErrorKind::TargetUnavailable, format!("cannot post to {}: {why}", self.address))
        };
        let answer = tokio::time::timeout(ANSWER_TIME, self.connector.call(self.request(event)?)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(unavailable(format!("{error:?}"))),
            Err(_) => return Err(unavailable(format!("no answer within {} s", ANSWER_TIME.as_secs()))),
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let kind = Fault::of_answer(Some(status.as_u16()), None).kind(ErrorKind::TargetUnavailable);
        Err(StageError::new(kind, format!("{} answered {}", self.address, status.as_u16())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_one_given_or_that_of_the_clients() {
        for (url, endpoint, wanted) in [
            ("https://l.example", None, "https://l.example/api/v1/lineage"),
            ("https://l.example/", None, "https://l.example/api/v1/lineage"),
            ("http://l.example:5000", None, "http://l.example:5000/api/v1/lineage"),
            ("https://l.example/own/path", None, "https://l.example/own/path"),
            ("https://l.example/?token=t", None, "https://l.example/?token=t"),
            ("https://l.example", Some("/v2/events"), "https://l.example/v2/events"),
            ("https://l.example/base/", Some("events"), "https://l.example/base/events"),
        ] {
            assert_eq!(address(url, endpoint), wanted);
        }
    }

    #[test]
    fn no_key_is_ever_printed() {
        let settings = LineageSettings {
            url: "https://l.example".into(),
            endpoint: None,
            api_key: Some("secret".into()),
            namespace: "n".into(),
        };
        assert!(!format!("{settings:?}").contains("secret"));
        assert!(!format!("{:?}", HttpLineage::new("https://l.example".into(), Some("secret"))).contains("secret"));
    }
}
