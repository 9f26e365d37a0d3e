//! Whatever comes in, from users, from Microsoft's side, or from the receivers: a clear error,
//! and nothing lost. Every test runs the real program.

mod answers;
mod broker;
mod commands;
mod files;
mod forging;
mod receivers;
pub(crate) mod scene;
mod signals;
mod tokens;

use tapline_e2e::program::binary;

/// The program is built by `make test`, not by `cargo test`.
fn is_built() -> bool {
    let built = binary().exists();
    if !built {
        eprintln!("skipped: {} is not built", binary().display());
    }
    built
}
