//! Where mapping files are: in the program, and in the operator's folder, which goes first.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::MappingProblem;
use super::yaml::Yaml;

/// Declares the files of the program by their names below `mappings/`.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        const EMBEDDED: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../mappings/", $name)))),+
        ];
    };
}

embedded![
    "cef/blocks/account.yaml",
    "cef/blocks/actor.yaml",
    "cef/blocks/client.yaml",
    "cef/blocks/connection.yaml",
    "cef/blocks/entity.yaml",
    "cef/blocks/file.yaml",
    "cef/blocks/finding.yaml",
    "cef/blocks/initiating.yaml",
    "cef/blocks/mail.yaml",
    "cef/blocks/row.yaml",
    "cef/blocks/tables.yaml",
    "cef/graph/alert.yaml",
    "cef/graph/incident.yaml",
    "cef/hunting/AADSignInEventsBeta.yaml",
    "cef/hunting/AADSpnSignInEventsBeta.yaml",
    "cef/hunting/AlertEvidence.yaml",
    "cef/hunting/AlertInfo.yaml",
    "cef/hunting/BehaviorEntities.yaml",
    "cef/hunting/BehaviorInfo.yaml",
    "cef/hunting/CloudAppEvents.yaml",
    "cef/hunting/CloudAuditEvents.yaml",
    "cef/hunting/CloudProcessEvents.yaml",
    "cef/hunting/CloudStorageAggregatedEvents.yaml",
    "cef/hunting/DeviceBaselineComplianceAssessment.yaml",
    "cef/hunting/DeviceEvents.yaml",
    "cef/hunting/DeviceFileCertificateInfo.yaml",
    "cef/hunting/DeviceFileEvents.yaml",
    "cef/hunting/DeviceImageLoadEvents.yaml",
    "cef/hunting/DeviceInfo.yaml",
    "cef/hunting/DeviceLogonEvents.yaml",
    "cef/hunting/DeviceNetworkEvents.yaml",
    "cef/hunting/DeviceNetworkInfo.yaml",
    "cef/hunting/DeviceProcessEvents.yaml",
    "cef/hunting/DeviceRegistryEvents.yaml",
    "cef/hunting/DeviceTvmSecureConfigurationAssessment.yaml",
    "cef/hunting/DeviceTvmSoftwareEvidenceBeta.yaml",
    "cef/hunting/DeviceTvmSoftwareInventory.yaml",
    "cef/hunting/DeviceTvmSoftwareVulnerabilities.yaml",
    "cef/hunting/EmailAttachmentInfo.yaml",
    "cef/hunting/EmailEvents.yaml",
    "cef/hunting/EmailPostDeliveryEvents.yaml",
    "cef/hunting/EmailUrlInfo.yaml",
    "cef/hunting/EntraIdSignInEvents.yaml",
    "cef/hunting/EntraIdSpnSignInEvents.yaml",
    "cef/hunting/FileMaliciousContentInfo.yaml",
    "cef/hunting/GraphApiAuditEvents.yaml",
    "cef/hunting/IdentityAccountInfo.yaml",
    "cef/hunting/IdentityDirectoryEvents.yaml",
    "cef/hunting/IdentityEvents.yaml",
    "cef/hunting/IdentityInfo.yaml",
    "cef/hunting/IdentityLogonEvents.yaml",
    "cef/hunting/IdentityQueryEvents.yaml",
    "cef/hunting/MessageEvents.yaml",
    "cef/hunting/MessagePostDeliveryEvents.yaml",
    "cef/hunting/MessageUrlInfo.yaml",
    "cef/hunting/UrlClickEvents.yaml",
    "cef/hunting/unknown.yaml",
    "cef/siem/detection.yaml",
    "ecs/base_event.yaml",
    "ecs/blocks/email.yaml",
    "ecs/blocks/graph_file.yaml",
    "ecs/blocks/graph_process.yaml",
    "ecs/blocks/graph_user.yaml",
    "ecs/blocks/hash.yaml",
    "ecs/blocks/initiating_process.yaml",
    "ecs/blocks/row.yaml",
    "ecs/blocks/row_event.yaml",
    "ecs/blocks/row_file.yaml",
    "ecs/blocks/row_registry.yaml",
    "ecs/blocks/row_user.yaml",
    "ecs/blocks/tables.yaml",
    "ecs/graph/alert.yaml",
    "ecs/graph/incident.yaml",
    "ecs/hunting/AlertEvidence.yaml",
    "ecs/hunting/AlertInfo.yaml",
    "ecs/hunting/CloudAppEvents.yaml",
    "ecs/hunting/DeviceEvents.yaml",
    "ecs/hunting/DeviceFileCertificateInfo.yaml",
    "ecs/hunting/DeviceFileEvents.yaml",
    "ecs/hunting/DeviceImageLoadEvents.yaml",
    "ecs/hunting/DeviceInfo.yaml",
    "ecs/hunting/DeviceLogonEvents.yaml",
    "ecs/hunting/DeviceNetworkEvents.yaml",
    "ecs/hunting/DeviceNetworkInfo.yaml",
    "ecs/hunting/DeviceProcessEvents.yaml",
    "ecs/hunting/DeviceRegistryEvents.yaml",
    "ecs/hunting/EmailAttachmentInfo.yaml",
    "ecs/hunting/EmailEvents.yaml",
    "ecs/hunting/EmailPostDeliveryEvents.yaml",
    "ecs/hunting/EmailUrlInfo.yaml",
    "ecs/hunting/IdentityDirectoryEvents.yaml",
    "ecs/hunting/IdentityLogonEvents.yaml",
    "ecs/hunting/IdentityQueryEvents.yaml",
    "ecs/hunting/UrlClickEvents.yaml",
    "ecs/siem/detection.yaml",
    "leef/blocks/connection.yaml",
    "leef/blocks/finding.yaml",
    "leef/blocks/logon.yaml",
    "leef/blocks/row.yaml",
    "leef/blocks/tables.yaml",
    "leef/graph/alert.yaml",
    "leef/graph/incident.yaml",
    "leef/hunting/AlertEvidence.yaml",
    "leef/hunting/AlertInfo.yaml",
    "leef/hunting/BehaviorEntities.yaml",
    "leef/hunting/BehaviorInfo.yaml",
    "leef/hunting/DeviceEvents.yaml",
    "leef/hunting/DeviceLogonEvents.yaml",
    "leef/hunting/DeviceNetworkEvents.yaml",
    "leef/hunting/IdentityLogonEvents.yaml",
    "leef/hunting/unknown.yaml",
    "leef/siem/detection.yaml",
    "ocsf/base_event.yaml",
    "ocsf/blocks/alert_metadata.yaml",
    "ocsf/blocks/connection.yaml",
    "ocsf/blocks/entra_source.yaml",
    "ocsf/blocks/file.yaml",
    "ocsf/blocks/graph_device.yaml",
    "ocsf/blocks/graph_file.yaml",
    "ocsf/blocks/graph_ip.yaml",
    "ocsf/blocks/graph_user.yaml",
    "ocsf/blocks/hunting_actor.yaml",
    "ocsf/blocks/hunting_device.yaml",
    "ocsf/blocks/hunting_metadata.yaml",
    "ocsf/blocks/identity_destination.yaml",
    "ocsf/blocks/identity_source.yaml",
    "ocsf/blocks/identity_target.yaml",
    "ocsf/blocks/initiating_actor.yaml",
    "ocsf/blocks/initiating_process.yaml",
    "ocsf/blocks/local_endpoint.yaml",
    "ocsf/blocks/peripheral.yaml",
    "ocsf/blocks/program_file.yaml",
    "ocsf/blocks/remote_endpoint.yaml",
    "ocsf/blocks/row_file.yaml",
    "ocsf/blocks/row_process.yaml",
    "ocsf/blocks/row_user.yaml",
    "ocsf/blocks/shared_device.yaml",
    "ocsf/blocks/shared_email.yaml",
    "ocsf/blocks/shared_hunting.yaml",
    "ocsf/blocks/shared_identity.yaml",
    "ocsf/blocks/tables.yaml",
    "ocsf/blocks/target_process.yaml",
    "ocsf/blocks/touched_file.yaml",
    "ocsf/blocks/tvm_device.yaml",
    "ocsf/blocks/user.yaml",
    "ocsf/graph/alert.yaml",
    "ocsf/graph/incident.yaml",
    "ocsf/hunting/AADSignInEventsBeta.yaml",
    "ocsf/hunting/AADSpnSignInEventsBeta.yaml",
    "ocsf/hunting/AlertEvidence.yaml",
    "ocsf/hunting/AlertInfo.yaml",
    "ocsf/hunting/BehaviorEntities.yaml",
    "ocsf/hunting/BehaviorInfo.yaml",
    "ocsf/hunting/CloudAppEvents.yaml",
    "ocsf/hunting/CloudAuditEvents.yaml",
    "ocsf/hunting/CloudDnsEvents.yaml",
    "ocsf/hunting/CloudProcessEvents.yaml",
    "ocsf/hunting/CloudStorageAggregatedEvents.yaml",
    "ocsf/hunting/DataSecurityBehaviors.yaml",
    "ocsf/hunting/DataSecurityEvents.yaml",
    "ocsf/hunting/DeviceBaselineComplianceAssessment.yaml",
    "ocsf/hunting/DeviceEvents.yaml",
    "ocsf/hunting/DeviceFileCertificateInfo.yaml",
    "ocsf/hunting/DeviceFileEvents.yaml",
    "ocsf/hunting/DeviceImageLoadEvents.yaml",
    "ocsf/hunting/DeviceInfo.yaml",
    "ocsf/hunting/DeviceLogonEvents.yaml",
    "ocsf/hunting/DeviceNetworkEvents.yaml",
    "ocsf/hunting/DeviceNetworkInfo.yaml",
    "ocsf/hunting/DeviceProcessEvents.yaml",
    "ocsf/hunting/DeviceRegistryEvents.yaml",
    "ocsf/hunting/DeviceTvmSecureConfigurationAssessment.yaml",
    "ocsf/hunting/DeviceTvmSoftwareInventory.yaml",
    "ocsf/hunting/DeviceTvmSoftwareVulnerabilities.yaml",
    "ocsf/hunting/DisruptionAndResponseEvents.yaml",
    "ocsf/hunting/EmailAttachmentInfo.yaml",
    "ocsf/hunting/EmailEvents.yaml",
    "ocsf/hunting/EmailPostDeliveryEvents.yaml",
    "ocsf/hunting/EmailUrlInfo.yaml",
    "ocsf/hunting/EntraIdSignInEvents.yaml",
    "ocsf/hunting/EntraIdSpnSignInEvents.yaml",
    "ocsf/hunting/FileMaliciousContentInfo.yaml",
    "ocsf/hunting/GraphApiAuditEvents.yaml",
    "ocsf/hunting/IdentityAccountInfo.yaml",
    "ocsf/hunting/IdentityDirectoryEvents.yaml",
    "ocsf/hunting/IdentityEvents.yaml",
    "ocsf/hunting/IdentityInfo.yaml",
    "ocsf/hunting/IdentityLogonEvents.yaml",
    "ocsf/hunting/IdentityQueryEvents.yaml",
    "ocsf/hunting/UrlClickEvents.yaml",
    "ocsf/siem/detection.yaml",
];

/// What records are turned into.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Target {
    Ocsf,
    Cef,
    Leef,
    Ecs,
}

impl Target {
    /// The folder below `mappings/`.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Target::Ocsf => "ocsf",
            Target::Cef => "cef",
            Target::Leef => "leef",
            Target::Ecs => "ecs",
        }
    }
}

/// All mapping files by name, such as `ocsf/graph/alert.yaml`.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    texts: BTreeMap<String, String>,
    /// What is shared is read once, not by each file again.
    read: RefCell<HashMap<String, Arc<Yaml>>>,
}

impl Files {
    /// The files of the program.
    pub(crate) fn embedded() -> Self {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Self {
            texts: EMBEDDED.iter().map(own).collect(),
            read: RefCell::default(),
        }
    }

    /// Adds the operator's files; one of the same name takes the place of ours.
    ///
    /// # Errors
    /// A folder or file that cannot be read.
    pub(crate) fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        for file in yaml_files(folder)? {
            let relative = file.strip_prefix(folder).unwrap_or(&file);
            let name = relative.to_string_lossy().replace('\\', "/");
            self.texts.insert(name, std::fs::read_to_string(&file)?);
        }
        Ok(())
    }

    /// Adds or replaces one file.
    #[cfg(test)]
    pub(crate) fn add(&mut self, name: &str, text: &str) {
        self.texts.insert(name.to_owned(), text.to_owned());
    }

    /// The text of a file.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// A file that others share, as a tree; `None` if it is not there.
    ///
    /// # Errors
    /// The first place that is not YAML.
    pub(crate) fn tree(&self, name: &str) -> Option<Result<Arc<Yaml>, MappingProblem>> {
        if let Some(known) = self.read.borrow().get(name) {
            return Some(Ok(Arc::clone(known)));
        }
        let read = Yaml::read(name, self.get(name)?).map(Arc::new);
        if let Ok(tree) = &read {
            let tree = Arc::clone(tree);
            self.read.borrow_mut().insert(name.to_owned(), tree);
        }
        Some(read)
    }

    /// The names of the shared blocks.
    pub(crate) fn blocks(&self, target: Target) -> Vec<String> {
        let prefix = format!("{}/blocks/", target.folder());
        let block = |name: &String| {
            Some(
                name.strip_prefix(&prefix)?
                    .strip_suffix(".yaml")?
                    .to_owned(),
            )
        };
        self.texts.keys().filter_map(block).collect()
    }

    /// The files that map a kind: name, kind, text. `ocsf/graph/alert.yaml` maps `graph.alert`.
    pub(crate) fn kinds(&self, target: Target) -> impl Iterator<Item = (&str, String, &str)> {
        let prefix = format!("{}/", target.folder());
        self.texts.iter().filter_map(move |(name, text)| {
            let kind = name.strip_prefix(&prefix)?.strip_suffix(".yaml")?;
            let is_kind = kind.contains('/') && !kind.starts_with("blocks/");
            is_kind.then(|| (name.as_str(), kind.replace('/', "."), text.as_str()))
        })
    }
}

/// All `.yaml` files below a folder.
fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(yaml_files(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
    Ok(files)
}
