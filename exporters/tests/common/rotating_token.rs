//! An authenticator whose token the test changes.

use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue};
use longwave_pipeline::component::{Authenticator, Authenticators};

/// Id of its extension.
pub const ID: &str = "bearertokenauth";

/// The token, and the header for it.
pub struct RotatingToken {
    pub header: HeaderName,
    pub token: Mutex<&'static str>,
}

impl RotatingToken {
    /// Makes an authenticator, and returns it together with the authenticators of a graph that has only this one.
    pub fn new(header: HeaderName) -> (Arc<Self>, Authenticators) {
        let token = Arc::new(Self { header, token: Mutex::new("one") });
        let authenticators =
            Authenticators::new([(ID.to_owned(), Arc::clone(&token) as Arc<dyn Authenticator>)]);
        (token, authenticators)
    }
}

impl Authenticator for RotatingToken {
    fn header_name(&self) -> HeaderName {
        self.header.clone()
    }

    fn header_value(&self) -> HeaderValue {
        HeaderValue::try_from(format!("Bearer {}", self.token.lock().unwrap())).unwrap()
    }
}
