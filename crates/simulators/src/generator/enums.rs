//! The enums of Graph's security types, as they travel.
//! Source: msgraph-metadata, clean_v10_metadata (f54f11b, 2026-08-20).

/// One enum.
#[derive(Debug)]
pub(crate) struct Enum {
    name: &'static str,
    /// Members that every client gets, separated by blanks.
    plain: &'static str,
    /// Members behind the sentinel, for clients that ask for them.
    behind: &'static str,
}

impl Enum {
    /// Whether this is a member, the sentinel apart.
    pub(crate) fn contains(&self, member: &str) -> bool {
        self.members().any(|known| known == member)
    }

    /// All members but the sentinel.
    pub(crate) fn members(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.plain
            .split(' ')
            .chain(self.behind.split(' '))
            .filter(|member| !member.is_empty())
    }
}

/// Looks an enum up by its name.
pub(crate) fn named(name: &str) -> Option<&'static Enum> {
    TABLE.iter().find(|row| row.name == name)
}

/// Whether a property's value must not reach a client that did not ask for new members.
pub(crate) fn is_behind_sentinel(property: &str, value: &str) -> bool {
    let name = match property {
        "detectionSource" | "serviceSource" => property,
        "remediationStatus" => "evidenceRemediationStatus",
        "status" => "incidentStatus",
        _ => return false,
    };
    named(name).is_some_and(|known| known.behind.split(' ').any(|member| member == value))
}

const TABLE: [Enum; 30] = [
    Enum {
        name: "aiAgentPlatform",
        plain: "unknown azureAIFoundry copilotStudio copilot",
        behind: "",
    },
    Enum {
        name: "alertClassification",
        plain: "unknown falsePositive truePositive informationalExpectedActivity",
        behind: "",
    },
    Enum {
        name: "alertDetermination",
        plain: "unknown apt malware securityPersonnel securityTesting unwantedSoftware other multiStagedAttack \
            compromisedAccount phishing maliciousUserActivity notMalicious notEnoughDataToValidate \
            confirmedActivity lineOfBusinessApplication",
        behind: "",
    },
    Enum {
        name: "alertSeverity",
        plain: "unknown informational low medium high",
        behind: "",
    },
    Enum {
        name: "alertStatus",
        plain: "unknown new inProgress resolved",
        behind: "",
    },
    Enum {
        name: "antispamTeamsDirection",
        plain: "unknown inbound outbound intraorg",
        behind: "",
    },
    Enum {
        name: "containerPortProtocol",
        plain: "udp tcp sctp",
        behind: "",
    },
    Enum {
        name: "defenderAvStatus",
        plain: "notReporting disabled notUpdated updated unknown notSupported",
        behind: "",
    },
    Enum {
        name: "detectionSource",
        plain: "unknown microsoftDefenderForEndpoint antivirus smartScreen customTi microsoftDefenderForOffice365 \
            automatedInvestigation microsoftThreatExperts customDetection microsoftDefenderForIdentity \
            cloudAppSecurity microsoft365Defender azureAdIdentityProtection manual microsoftDataLossPrevention \
            appGovernancePolicy appGovernanceDetection",
        behind: "microsoftDefenderForCloud microsoftDefenderForIoT microsoftDefenderForServers \
            microsoftDefenderForStorage microsoftDefenderForDNS microsoftDefenderForDatabases \
            microsoftDefenderForContainers microsoftDefenderForNetwork microsoftDefenderForAppService \
            microsoftDefenderForKeyVault microsoftDefenderForResourceManager microsoftDefenderForApiManagement \
            nrtAlerts scheduledAlerts microsoftDefenderThreatIntelligenceAnalytics builtInMl \
            microsoftInsiderRiskManagement microsoftThreatIntelligence microsoftDefenderForAIServices \
            securityCopilot microsoftSentinel",
    },
    Enum {
        name: "detectionStatus",
        plain: "detected blocked prevented",
        behind: "",
    },
    Enum {
        name: "deviceHealthStatus",
        plain: "active inactive impairedCommunication noSensorData noSensorDataImpairedCommunication unknown",
        behind: "",
    },
    Enum {
        name: "deviceRiskScore",
        plain: "none informational low medium high",
        behind: "",
    },
    Enum {
        name: "evidenceRemediationStatus",
        plain: "none remediated prevented blocked notFound",
        behind: "active pendingApproval declined unremediated running partiallyRemediated",
    },
    Enum {
        name: "evidenceRole",
        plain: "unknown contextual scanned source destination created added compromised edited attacked attacker \
            commandAndControl loaded suspicious policyViolator",
        behind: "",
    },
    Enum {
        name: "evidenceVerdict",
        plain: "unknown suspicious malicious noThreatsFound",
        behind: "",
    },
    Enum {
        name: "fileHashAlgorithm",
        plain: "unknown md5 sha1 sha256 sha256ac",
        behind: "",
    },
    Enum {
        name: "googleCloudLocationType",
        plain: "unknown regional zonal global",
        behind: "",
    },
    Enum {
        name: "incidentStatus",
        plain: "active resolved inProgress redirected",
        behind: "awaitingAction",
    },
    Enum {
        name: "investigationState",
        plain: "unknown terminated successfullyRemediated benign failed partiallyRemediated running pendingApproval \
            pendingResource queued innerFailure preexistingAlert unsupportedOs unsupportedAlertType \
            suppressedAlert partiallyInvestigated terminatedByUser terminatedBySystem",
        behind: "",
    },
    Enum {
        name: "ioTDeviceImportanceType",
        plain: "unknown low normal high",
        behind: "",
    },
    Enum {
        name: "kubernetesPlatform",
        plain: "unknown aks eks gke arc",
        behind: "",
    },
    Enum {
        name: "kubernetesServiceType",
        plain: "unknown clusterIP externalName nodePort loadBalancer",
        behind: "",
    },
    Enum {
        name: "mailboxConfigurationType",
        plain: "mailForwardingRule owaSettings ewsSettings mailDelegation userInboxRule",
        behind: "",
    },
    Enum {
        name: "onboardingStatus",
        plain: "insufficientInfo onboarded canBeOnboarded unsupported",
        behind: "",
    },
    Enum {
        name: "protocolType",
        plain: "tcp udp",
        behind: "",
    },
    Enum {
        name: "servicePrincipalType",
        plain: "unknown application managedIdentity legacy",
        behind: "",
    },
    Enum {
        name: "serviceSource",
        plain: "unknown microsoftDefenderForEndpoint microsoftDefenderForIdentity microsoftDefenderForCloudApps \
            microsoftDefenderForOffice365 microsoft365Defender azureAdIdentityProtection microsoftAppGovernance \
            dataLossPrevention",
        behind: "microsoftDefenderForCloud microsoftSentinel microsoftInsiderRiskManagement \
            microsoftThreatIntelligence microsoftSecurityForAI",
    },
    Enum {
        name: "teamsDeliveryLocation",
        plain: "unknown teams quarantine failed",
        behind: "",
    },
    Enum {
        name: "teamsMessageDeliveryAction",
        plain: "unknown deliveredAsSpam delivered blocked replaced",
        behind: "",
    },
    Enum {
        name: "vmCloudProvider",
        plain: "unknown azure",
        behind: "",
    },
];
