//! Free loopback ports for services that cannot choose one themselves.

use std::net::TcpListener;

/// As many different ports as asked for, free a moment ago.
pub fn free<const N: usize>() -> [u16; N] {
    let bind = |_| TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    let listeners: [TcpListener; N] = std::array::from_fn(bind);
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}
