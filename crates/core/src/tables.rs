//! The tables of advanced hunting that have a kind of their own.
//!
//! Source: Microsoft's documentation of the advanced hunting schema, as of July 2026.

/// In alphabetical order.
const TABLES: &[&str] = &[
    "AADSignInEventsBeta",
    "AADSpnSignInEventsBeta",
    "AIAgentsInfo",
    "AgentsInfo",
    "AlertEvidence",
    "AlertInfo",
    "BehaviorEntities",
    "BehaviorInfo",
    "CallActivityEvents",
    "CampaignInfo",
    "CloudAppEvents",
    "CloudAuditEvents",
    "CloudDnsEvents",
    "CloudPolicyEnforcementEvents",
    "CloudProcessEvents",
    "CloudStorageAggregatedEvents",
    "DataSecurityBehaviors",
    "DataSecurityEvents",
    "DeviceBaselineComplianceAssessment",
    "DeviceBaselineComplianceAssessmentKB",
    "DeviceBaselineComplianceProfiles",
    "DeviceEvents",
    "DeviceFileCertificateInfo",
    "DeviceFileEvents",
    "DeviceImageLoadEvents",
    "DeviceInfo",
    "DeviceLogonEvents",
    "DeviceNetworkEvents",
    "DeviceNetworkInfo",
    "DeviceProcessEvents",
    "DeviceRegistryEvents",
    "DeviceTvmBrowserExtensions",
    "DeviceTvmBrowserExtensionsKB",
    "DeviceTvmCertificateInfo",
    "DeviceTvmHardwareFirmware",
    "DeviceTvmInfoGathering",
    "DeviceTvmInfoGatheringKB",
    "DeviceTvmSecureConfigurationAssessment",
    "DeviceTvmSecureConfigurationAssessmentKB",
    "DeviceTvmSoftwareEvidenceBeta",
    "DeviceTvmSoftwareInventory",
    "DeviceTvmSoftwareVulnerabilities",
    "DeviceTvmSoftwareVulnerabilitiesKB",
    "DisruptionAndResponseEvents",
    "EmailAttachmentInfo",
    "EmailEvents",
    "EmailPostDeliveryEvents",
    "EmailUrlInfo",
    "EntraIdSignInEvents",
    "EntraIdSpnSignInEvents",
    "ExposureGraphEdges",
    "ExposureGraphNodes",
    "FileMaliciousContentInfo",
    "GraphApiAuditEvents",
    "IdentityAccountInfo",
    "IdentityDirectoryEvents",
    "IdentityEvents",
    "IdentityInfo",
    "IdentityLogonEvents",
    "IdentityQueryEvents",
    "MessageEvents",
    "MessagePostDeliveryEvents",
    "MessageUrlInfo",
    "OAuthAppInfo",
    "UrlClickEvents",
];

/// A table's documented spelling, from its name in any case; nothing if it has no kind of its own.
pub fn hunting_table(name: &str) -> Option<&'static str> {
    let same = |known: &&&str| known.eq_ignore_ascii_case(name);
    TABLES.iter().find(same).copied()
}

/// Every table that has a kind of its own, in alphabetical order.
pub const fn hunting_tables() -> &'static [&'static str] {
    TABLES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_known_by_its_name_in_any_case() {
        assert_eq!(hunting_table("alertinfo"), Some("AlertInfo"));
        assert_eq!(hunting_table("Alert"), None);
        assert!(TABLES.is_sorted());
    }
}
