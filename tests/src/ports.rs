//! Free loopback ports for services that cannot choose one themselves.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what Linux gives to outgoing connections (`net.ipv4.ip_local_port_range`), so that no
/// client takes a port between its choice and its use.
const FIRST: u16 = 12_000;
const COUNT: u16 = 18_000;

/// As many different ports as asked for, free a moment ago, and not given to anyone else in this process.
pub fn free<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| next())
}

fn next() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).expect("less than COUNT");
    let candidates = std::iter::repeat_with(|| {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed) % COUNT;
        // Processes that started one after the other begin far from each other.
        let at = u32::from(start) * 97 + u32::from(given);
        FIRST + u16::try_from(at % u32::from(COUNT)).expect("less than COUNT")
    });
    let mut candidates = candidates.take(usize::from(COUNT));
    let free = candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a free loopback port")
}
