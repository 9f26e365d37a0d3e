//! The HTTP client settings, and what reading an answer takes, alike for all Microsoft APIs.

mod base;
mod client;
mod read;
mod wait;

pub use base::check_base_url;
pub use client::{HttpError, client};
pub use read::{ReadError, read_capped};
pub use wait::retry_after;

pub(crate) use client::{chain, is_tls};
pub(crate) use read::read_into;
