//! How to reach the outside: settings of the process that every component may override.

use std::path::PathBuf;

use serde::Deserialize;

/// Proxy and extra trust, as written at the top of the pipeline file or in a component.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct NetworkSettings {
    /// Proxy for `https` addresses, such as `http://proxy.example:3128`; without it the
    /// environment variables `HTTPS_PROXY`, `HTTP_PROXY`, and `NO_PROXY` are honoured.
    pub https_proxy: Option<String>,
    /// A PEM file of certificates to trust besides the system's.
    pub extra_ca: Option<PathBuf>,
}
