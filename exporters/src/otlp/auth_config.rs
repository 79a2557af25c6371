//! `auth`: the extension that authenticates requests.

use longwave_pipeline::component::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Authentication of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuthConfig {
    /// Id of the extension: a `bearertokenauth` or a `basicauth`.
    #[schemars(example = &"bearertokenauth")]
    pub authenticator: String,
}

/// Key of the id in the exporter's section.
pub(super) const AUTHENTICATOR: &str = "auth::authenticator";

// === impl AuthConfig ===

impl AuthConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        if self.authenticator.is_empty() {
            problems.at(AUTHENTICATOR, "must be the id of an extension, for example bearertokenauth");
        }
    }
}
