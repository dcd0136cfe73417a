//! moto: an engine with a Step Functions interpreter of its own, which looks for Lambda on its own port. The Lambda
//! host takes that port and passes everything else on.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde_json::json;

use stepwell_sandbox::ministack::{free_port, tail};

use crate::{
    api::{ACCOUNT, Endpoint, REGION},
    process::Supervised,
    python, until,
};

/// A running moto server.
#[derive(Debug)]
pub struct Moto {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Supervised,
}

impl Moto {
    /// The port to give to [`Moto::start`].
    pub fn choose_address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], free_port().expect("127.0.0.1 has a free port")))
    }

    /// Starts a server that finds Lambda on the given port, and waits until it answers.
    pub async fn start(address: SocketAddr, lambda_port: u16, folder: &Path) -> Self {
        let log = folder.join("moto.log");
        let (port, lambda_port) = (address.port().to_string(), lambda_port.to_string());
        let variables = [
            ("PATH", "/usr/bin:/bin"),
            ("MOTO_PORT", lambda_port.as_str()),
            ("MOTO_ACCOUNT_ID", ACCOUNT),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("NO_PROXY", "*"),
        ];
        let arguments = ["-H", "127.0.0.1", "-p", &port];
        let mut process = Supervised::start(&python::program("moto_server"), &arguments, &variables, &log);
        let endpoint = Endpoint::from(address);
        until("moto to answer", Duration::from_secs(60), async || {
            assert!(process.ended().is_none(), "moto ended:\n{}", tail(&log));
            endpoint.is_up("/moto-api/data.json").await.then_some(())
        })
        .await;
        let config = json!({"stepfunctions": {"execute_state_machine": true}});
        endpoint.rest("moto", hyper::Method::POST, "/moto-api/config", &config).await;
        Self { address, _process: process }
    }
}
