//! The crate against an identity platform that answers as a script says.

mod azure;
mod certificate;
mod refusals;
mod rotation;
mod simulated;
mod stub;
mod tokens;
mod transport;
