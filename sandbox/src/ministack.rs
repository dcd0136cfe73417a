//! How ministack is started: on 127.0.0.1 alone, with AWS's behaviour where Stepwell counts on it, and with everything
//! that it writes in one folder.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Checkout, Endpoint, SandboxError};

/// The region that it plays.
pub const REGION: &str = "us-east-1";

/// Both halves of the credentials that functions get; any are accepted.
pub const CREDENTIAL: &str = "test";

const READY_LIMIT: Duration = Duration::from_secs(60);

/// What to start with the environment's `python`.
pub fn script(checkout: &Checkout) -> PathBuf {
    checkout.script("ministack_like_aws.py")
}

/// The environment variables of a ministack that listens on this address, of which there are to be no others. It and
/// its functions write into the folder.
pub fn variables(address: SocketAddr, folder: &Path) -> Vec<(&'static str, String)> {
    let text = |value: &str| value.to_owned();
    vec![
        ("PATH", text("/usr/bin:/bin")),
        ("HOME", folder.display().to_string()),
        ("TMPDIR", folder.display().to_string()),
        ("STATE_DIR", folder.join("state").display().to_string()),
        ("S3_DATA_DIR", folder.join("s3").display().to_string()),
        ("PYTHONDONTWRITEBYTECODE", text("1")),
        // It would look for containers to remove.
        ("DOCKER_HOST", format!("unix://{}/no-docker", folder.display())),
        ("GATEWAY_PORT", address.port().to_string()),
        // Without these two it listens on every interface, the second for MQTT.
        ("BIND_HOST", address.ip().to_string()),
        ("IOT_MTLS_ENABLED", text("false")),
        ("MINISTACK_HOST", address.ip().to_string()),
        ("AWS_ENDPOINT_URL", Endpoint::from(address).0),
        ("AWS_ACCESS_KEY_ID", text(CREDENTIAL)),
        ("AWS_SECRET_ACCESS_KEY", text(CREDENTIAL)),
    ]
}

/// Waits until it answers.
///
/// # Errors
/// If it ended, or says nothing for a minute; with the last lines of the log.
pub async fn ready(endpoint: &Endpoint, log: &Path, mut is_running: impl FnMut() -> bool) -> Result<(), SandboxError> {
    let deadline = tokio::time::Instant::now() + READY_LIMIT;
    while !endpoint.is_up("/_ministack/health").await {
        if !is_running() {
            return Err(SandboxError(format!("ministack ended:\n{}", tail(log))));
        }
        if tokio::time::Instant::now() > deadline {
            return Err(SandboxError(format!("ministack does not answer at {}:\n{}", endpoint.0, tail(log))));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The last lines of a log, for messages.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// A port on 127.0.0.1 that was free a moment ago, for programs that cannot choose one themselves.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16, SandboxError> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(port.map_err(|error| SandboxError::new("127.0.0.1 has no free port", error))?.port())
}
