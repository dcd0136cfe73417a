use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use stepwell_pipeline::{ErrorKind, StageError, link::Links, store::ObjectRef};

/// What the paths of links begin with.
pub(super) const FILES: &str = "/files/";

/// All but what RFC 3986 calls unreserved, and the slashes of keys.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Links to this server. They are signed with a secret of the process, so that they end with it at the latest.
#[derive(Debug)]
pub(super) struct LocalLinks {
    address: SocketAddr,
    secret: [u8; 32],
}

impl LocalLinks {
    /// Links to the server at an address.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, secret: rand::random() }
    }

    fn link(&self, method: &str, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        let expires = Utc::now().timestamp() + i64::try_from(valid.as_secs()).unwrap_or_default();
        let signature: String = self
            .mac(method, object, expires)?
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = utf8_percent_encode(&object.key, KEY);
        Ok(format!(
            "http://{}{FILES}{}/{path}?method={method}&expires={expires}&signature={signature}",
            self.address, object.bucket
        ))
    }

    fn mac(&self, method: &str, object: &ObjectRef, expires: i64) -> Result<Hmac<Sha256>, StageError> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.secret);
        let mut mac = mac.map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot sign a link", error))?;
        // No bucket's name and no key has a line break.
        mac.update(format!("{method}\n{}\n{}\n{expires}", object.bucket, object.key).as_bytes());
        Ok(mac)
    }

    /// The object that a link is for, if it is one of ours, for that method, and not expired.
    pub(super) fn object(&self, method: &str, path: &str, query: Option<&str>) -> Option<ObjectRef> {
        let (bucket, key) = path.strip_prefix(FILES)?.split_once('/')?;
        let object = ObjectRef::new(bucket, percent_decode_str(key).decode_utf8().ok()?);
        let find = |name: &str| {
            form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.into_owned())
        };
        let expires: i64 = find("expires")?.parse().ok()?;
        let signature = find("signature")?;
        let digits: Option<Vec<u8>> = (0..signature.len())
            .step_by(2)
            .map(|start| u8::from_str_radix(signature.get(start..start + 2)?, 16).ok())
            .collect();
        self.mac(method, &object, expires).ok()?.verify_slice(&digits?).ok()?;
        (Utc::now().timestamp() <= expires).then_some(object)
    }
}

#[async_trait]
impl Links for LocalLinks {
    async fn download(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        self.link("GET", object, valid)
    }

    async fn upload(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        self.link("PUT", object, valid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_for_its_object_method_and_time_alone() {
        let links = LocalLinks::new(SocketAddr::from(([127, 0, 0, 1], 8080)));
        let object = ObjectRef::new("landing", "uploads/1/ü a+b%.csv");
        let hour = Duration::from_secs(3600);
        let link = links.link("PUT", &object, hour).expect("a link");
        let parts = |link: &str| {
            let (path, query) = link.strip_prefix("http://127.0.0.1:8080")?.split_once('?')?;
            Some((path.to_owned(), query.to_owned()))
        };
        let (path, query) = parts(&link).expect("a link to the server");
        assert_eq!(links.object("PUT", &path, Some(&query)), Some(object.clone()));
        assert_eq!(links.object("GET", &path, Some(&query)), None);
        assert_eq!(links.object("PUT", &path.replace("/1/", "/2/"), Some(&query)), None);
        assert_eq!(links.object("PUT", &path, Some(&query.replace("expires=", "expires=9"))), None);
        assert_eq!(links.object("PUT", &path, None), None);
        assert_eq!(LocalLinks::new(links.address).object("PUT", &path, Some(&query)), None);
    }
}
