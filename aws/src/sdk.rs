//! How the services of AWS are called: one HTTP client, a few quick attempts, bounded waiting.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, ConfigLoader, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// Waiting longer is the state machine's business, which can do it without paying for a function that sleeps.
const ATTEMPTS: u32 = 3;

/// A connection within a region is made within milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// From the beginning of a request to the first byte of its answer, the upload of a part included.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a body may stand still before the request counts as failed.
const STALL_GRACE: Duration = Duration::from_secs(10);

/// The configuration of every client: region, credentials and endpoints from the environment.
pub async fn config() -> SdkConfig {
    tuned(aws_config::defaults(BehaviorVersion::latest())).load().await
}

/// A configuration in the making, given the HTTP client, the attempts and the timeouts that every client has.
pub fn tuned(loader: ConfigLoader) -> ConfigLoader {
    let http_client =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    loader
        .http_client(http_client)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build())
}

/// An S3 client. With an endpoint of one's own (`AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3`; AWS SDKs and Tools
/// Reference Guide, "Service-specific endpoints") buckets stand in the path, since no name resolves for them.
pub fn s3_client(config: &SdkConfig) -> aws_sdk_s3::Client {
    let own_endpoint = config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
    let config = aws_sdk_s3::config::Builder::from(config).force_path_style(own_endpoint).build();
    aws_sdk_s3::Client::from_conf(config)
}
