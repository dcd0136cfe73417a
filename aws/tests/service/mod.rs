//! Clients whose service is a server of the test.
#![allow(dead_code, unreachable_pub, clippy::expect_used, reason = "each test includes this file and uses part of it")]

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_sdk_s3::config::Credentials;
use stepwell_aws::sdk;

use crate::http::Server;

/// The configuration that functions have, but for repetitions: they would only make the test wait.
pub async fn config(server: &Server) -> SdkConfig {
    loader(server).retry_config(RetryConfig::disabled()).load().await
}

/// The configuration that functions have.
pub async fn config_with_retries(server: &Server) -> SdkConfig {
    loader(server).load().await
}

fn loader(server: &Server) -> aws_config::ConfigLoader {
    sdk::tuned(aws_config::defaults(BehaviorVersion::latest()))
        .endpoint_url(format!("http://{}", server.address))
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
}

/// The fields of a form-encoded body.
pub fn form_fields(body: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    body.split('&')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
