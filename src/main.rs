//! `attestree`: parse, dispatch, exit code.

use attestree::cli::{self, exit::Exit};

fn main() -> Exit {
    // Every TLS connection of the process, in and out, uses this one cryptography library. It fails
    // only if another one was installed before, and nothing runs before this line.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("no other provider was installed");
    cli::run(std::env::args_os())
}
