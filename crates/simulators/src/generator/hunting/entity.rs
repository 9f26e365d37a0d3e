//! Which columns of AlertEvidence go with which kind of entity; the others are null.

use rand::Rng;
use rand::rngs::StdRng;

/// A kind of entity, and how its columns begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entity {
    pub(super) name: &'static str,
    columns: &'static [&'static str],
}

/// What every row says of its alert.
const OF_ALERT: [&str; 12] = [
    "Timestamp",
    "AlertId",
    "Title",
    "Categor",
    "AttackTechniques",
    "ServiceSource",
    "DetectionSource",
    "EntityType",
    "Evidence",
    "Severity",
    "AdditionalFields",
    "MachineGroup",
];

const ENTITIES: [Entity; 9] = [
    Entity {
        name: "File",
        columns: &[
            "FileName",
            "FolderPath",
            "SHA",
            "FileSize",
            "ThreatFamily",
            "Device",
        ],
    },
    Entity {
        name: "Process",
        columns: &[
            "FileName",
            "FolderPath",
            "SHA",
            "FileSize",
            "ProcessCommandLine",
            "Device",
            "Account",
        ],
    },
    Entity {
        name: "User",
        columns: &["Account"],
    },
    Entity {
        name: "Ip",
        columns: &["RemoteIP"],
    },
    Entity {
        name: "Url",
        columns: &["RemoteUrl"],
    },
    Entity {
        name: "Machine",
        columns: &["Device", "LocalIP"],
    },
    Entity {
        name: "MailMessage",
        columns: &["NetworkMessageId", "EmailSubject", "Account"],
    },
    Entity {
        name: "RegistryValue",
        columns: &["Registry", "Device"],
    },
    Entity {
        name: "CloudApplication",
        columns: &["Application", "OAuthApplicationId"],
    },
];

pub(super) fn choose(rng: &mut StdRng) -> &'static Entity {
    &ENTITIES[rng.random_range(0..ENTITIES.len())]
}

impl Entity {
    pub(super) fn has(&self, column: &str) -> bool {
        let begins = |start: &&str| column.starts_with(*start);
        OF_ALERT.iter().any(begins) || self.columns.iter().any(begins)
    }
}
