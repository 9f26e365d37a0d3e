//! The HTTP client settings, what reading an answer takes, and the way out for other protocols: alike for all Microsoft APIs.

mod base;
mod client;
mod read;
mod tunnel;
mod wait;

pub use base::check_base_url;
pub use client::{HttpError, client};
pub use read::{ReadError, read_capped};
pub use tunnel::{TunnelError, connect};
pub use wait::retry_after;

pub(crate) use client::is_tls;
pub(crate) use read::read_into;
