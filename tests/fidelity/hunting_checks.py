"""What the OCSF output of advanced hunting has to hold: class by table and action, places by column."""

import json
import re

import ocsf_checks
from program import Failed
from records import is_empty

STREAMED = "AdvancedHunting-"
# Class by table; tables with several classes stand below.
CLASS = {
    "AlertInfo": 2004, "AlertEvidence": 2004, "DeviceProcessEvents": 1007, "DeviceNetworkEvents": 4001,
    "DeviceFileEvents": 1001, "DeviceImageLoadEvents": 1005, "DeviceLogonEvents": 3002, "DeviceInfo": 5001,
    "DeviceNetworkInfo": 5001, "DeviceFileCertificateInfo": 0, "EmailEvents": 4009, "EmailAttachmentInfo": 4009,
    "EmailUrlInfo": 4012, "EmailPostDeliveryEvents": 4009, "UrlClickEvents": 4002, "IdentityLogonEvents": 3002,
    "CloudAppEvents": 6003, "IdentityInfo": 5003, "CloudAuditEvents": 6003, "CloudProcessEvents": 1007,
    "CloudStorageAggregatedEvents": 6005, "BehaviorInfo": 2004, "BehaviorEntities": 2004,
    "AADSignInEventsBeta": 3002, "AADSpnSignInEventsBeta": 3002, "EntraIdSignInEvents": 3002,
    "EntraIdSpnSignInEvents": 3002, "DeviceTvmSoftwareInventory": 5020, "DeviceTvmSoftwareVulnerabilities": 2002,
    "DeviceTvmSecureConfigurationAssessment": 2003, "DeviceBaselineComplianceAssessment": 2003,
    "FileMaliciousContentInfo": 2004, "CloudDnsEvents": 4003, "GraphApiAuditEvents": 6003,
    "IdentityAccountInfo": 5003, "IdentityEvents": 6003, "DataSecurityEvents": 2006,
    "DataSecurityBehaviors": 2006, "DisruptionAndResponseEvents": 7001,
}
BASE_EVENT = 0
# Class of DeviceEvents by pattern, first match (5.7).
DEVICE_EVENTS = [
    (r"(CreateRemoteThread|QueueUserApcRemote|SetThreadContextRemote|OpenProcess)ApiCall", 1007),
    (r"ProcessCreatedUsingWmiQuery|ProcessPrimaryTokenModified|PTraceDetected", 1007),
    (r"NtAllocateVirtualMemory(Remote)?ApiCall|NtProtectVirtualMemoryApiCall|MemoryRemoteProtect", 1004),
    (r"NtMapViewOfSectionRemoteApiCall|(Read|Write)ProcessMemoryApiCall|WriteToLsassProcessMemory", 1004),
    (r"PowerShellCommand|ScriptContent|AmsiScriptContent", 1009),
    (r"DriverLoad", 1002),
    (r"ClrUnbackedModuleLoaded", 1005),
    (r"ScheduledTask(Created|Updated|Deleted|Enabled|Disabled)", 1006),
    (r"ServiceInstalled", 201004),
    (r"SensitiveFileRead|ShellLinkCreateFileEvent|NamedPipeEvent|FileTimestampModificationEvent", 1001),
    (r"PlistPropertyModified|RemovableStorageFileEvent", 1001),
    (r"PnpDevice\w+|UsbDrive\w+|BluetoothPolicyTriggered|RemovableStoragePolicyTriggered", 1010),
    (r"PrintJobBlocked|DlpPocPrintJob", 1010),
    (r"DnsQuery(Request|Response)", 4003),
    (r"LdapSearch", 6005),
    (r"Firewall\w+Blocked", 4001),
    (r"NetworkShareObject\w+|ContainedUserSmbFileOpenBlocked", 4006),
    (r"RemoteDesktopConnection|ContainedUserRemoteDesktopSession\w+", 4005),
    (r"ContainedUserLogonBlocked", 3002),
    (r"UserAccount(Created|Deleted|Modified)|PasswordChangeAttempt|AccountCheckedForBlankPassword", 3001),
    (r"UserAccount(AddedTo|RemovedFrom)LocalGroup|SecurityGroup(Created|Deleted)", 3006),
    (r"DirectoryServiceObject(Created|Modified)", 3004),
    (r"SecurityLogCleared", 1008),
    (r"AuditPolicyModification|LogonRightsSettingEnabled|BitLockerAuditCompleted|DeviceBootAttestationInfo", 5019),
    (r"AntivirusTroubleshootModeEvent|AppControl(CodeIntegrity)?Policy(Loaded|Applied)", 5019),
    (r"AntivirusScan(Completed|Cancelled|Failed)|SafeDocFileScan", 6007),
    (r"AntivirusDefinitions\w+|AntivirusEmergencyUpdatesInstalled|FirewallServiceStopped", 6002),
    (r"AntivirusDetection(ActionType)?|AntivirusReport|AntivirusMalware(Blocked|ActionFailed)", 2004),
    (r"AmsiScriptDetection|Asr\w+|ExploitGuard\w+|ControlFlowGuardViolation|TamperingAttempt", 2004),
    (r"ControlledFolderAccessViolation\w*|NetworkProtection\w+|SmartScreen\w+|AppControl\w+|AppLocker\w+", 2004),
    (r"BrowserLaunchedToOpenUrl", 6001),
]
DEVICE = "Timestamp DeviceId DeviceName ReportId ActionType MachineGroup".split()
ACTOR = """InitiatingProcessFileName InitiatingProcessFolderPath InitiatingProcessCommandLine
    InitiatingProcessCreationTime InitiatingProcessMD5 InitiatingProcessSHA1 InitiatingProcessSHA256
    InitiatingProcessFileSize InitiatingProcessAccountName InitiatingProcessAccountDomain
    InitiatingProcessAccountSid InitiatingProcessAccountUpn InitiatingProcessAccountObjectId
    InitiatingProcessIntegrityLevel InitiatingProcessLogonId InitiatingProcessSessionId
    InitiatingProcessUniqueId InitiatingProcessVersionInfoCompanyName
    InitiatingProcessVersionInfoFileDescription InitiatingProcessVersionInfoInternalFileName
    InitiatingProcessVersionInfoProductName InitiatingProcessVersionInfoProductVersion
    InitiatingProcessParentFileName InitiatingProcessParentCreationTime""".split()
FILE = "FileName FolderPath MD5 SHA1 SHA256 FileSize".split()
ACCOUNT = "AccountName AccountDomain AccountSid AccountUpn AccountObjectId".split()
# Columns that the reference gives a place always, so that a good value must not be unmapped.
PLACED = {
    "AlertInfo": "Timestamp AlertId Title Category Severity ServiceSource DetectionSource".split(),
    "AlertEvidence": """Timestamp AlertId Title Categories Severity ServiceSource DetectionSource EntityType
        EvidenceRole EvidenceDirection DeviceId DeviceName LocalIP RemoteIP ThreatFamily AdditionalFields""".split(),
    "DeviceProcessEvents": DEVICE + ACTOR + FILE + ACCOUNT + """ProcessId ProcessCommandLine ProcessCreationTime
        ProcessIntegrityLevel ProcessUniqueId LogonId ProcessVersionInfoCompanyName
        ProcessVersionInfoFileDescription ProcessVersionInfoInternalFileName ProcessVersionInfoProductName
        ProcessVersionInfoProductVersion InitiatingProcessId InitiatingProcessParentId""".split(),
    "DeviceNetworkEvents": DEVICE + "LocalIP LocalPort Protocol LocalIPType".split(),
    "DeviceFileEvents": DEVICE + ACTOR + FILE + """FileOriginUrl SensitivityLabel RequestAccountName
        RequestAccountDomain RequestAccountSid""".split(),
    "DeviceRegistryEvents": DEVICE + ACTOR + ["RegistryKey"],
    "DeviceImageLoadEvents": DEVICE + ACTOR + FILE,
    "DeviceLogonEvents": DEVICE + "AccountName AccountDomain AccountSid LogonId LogonType FailureReason RemoteIP".split(),
    "DeviceEvents": DEVICE + ACTOR,
    "DeviceInfo": """Timestamp DeviceId DeviceName AadDeviceId OSPlatform OSVersion OSBuild DeviceType Model Vendor
        ClientVersion ExposureLevel PublicIP DeviceManualTags DeviceDynamicTags RegistryDeviceTag ReportId""".split(),
    "DeviceNetworkInfo": "Timestamp DeviceId DeviceName MacAddress NetworkAdapterName NetworkAdapterType ReportId".split(),
    "EmailEvents": """Timestamp SenderFromAddress SenderMailFromAddress RecipientEmailAddress Subject SenderIPv4
        InternetMessageId NetworkMessageId EmailActionPolicy EmailActionPolicyGuid""".split(),
    "EmailAttachmentInfo": "Timestamp SenderFromAddress RecipientEmailAddress NetworkMessageId FileName SHA256".split(),
    "EmailUrlInfo": "Timestamp NetworkMessageId Url UrlDomain".split(),
    "EmailPostDeliveryEvents": "Timestamp NetworkMessageId InternetMessageId RecipientEmailAddress ActionType".split(),
    "UrlClickEvents": "Timestamp Url IPAddress AccountUpn AppName Workload ActionType".split(),
    "IdentityLogonEvents": """Timestamp ActionType Application LogonType Protocol FailureReason AccountName
        AccountDomain AccountUpn AccountSid AccountObjectId AccountDisplayName IPAddress Port DeviceName OSPlatform
        Isp Location DestinationDeviceName DestinationIPAddress DestinationPort""".split(),
    "IdentityQueryEvents": "Timestamp ActionType QueryTarget IPAddress DeviceName".split(),
    "IdentityDirectoryEvents": """Timestamp ReportId ActionType AccountName AccountDomain AccountUpn AccountSid
        AccountObjectId AccountDisplayName IPAddress Port DeviceName""".split(),
    "CloudAppEvents": """Timestamp ActionType Application ApplicationId AccountObjectId AccountId AccountDisplayName
        IPAddress Isp CountryCode City OSPlatform UserAgent""".split(),
    "IdentityInfo": """Timestamp ReportId AccountObjectId AccountUpn OnPremSid AccountDisplayName AccountName
        AccountDomain DistinguishedName GivenName Surname JobTitle EmployeeId Department Manager""".split(),
    "CloudAuditEvents": "Timestamp ReportId ActionType".split(),
    "CloudProcessEvents": """Timestamp ActionType FileName FolderPath ProcessId ProcessCommandLine
        ProcessCreationTime AccountName LogonId""".split(),
    "CloudStorageAggregatedEvents": "Timestamp ReportId ActionType".split(),
    "BehaviorInfo": "Timestamp ActionType BehaviorId Title Categories ServiceSource DetectionSource DeviceId".split(),
    "BehaviorEntities": """Timestamp ActionType BehaviorId Categories ServiceSource DetectionSource EntityType
        EntityRole DetailedEntityRole FileName FolderPath AccountName AccountSid AccountUpn AccountObjectId DeviceId
        DeviceName LocalIP RemoteIP RemoteUrl RegistryKey ThreatFamily AdditionalFields""".split(),
    "AADSignInEventsBeta": "Timestamp ReportId ErrorCode AccountUpn AccountObjectId AccountDisplayName".split(),
    "AADSpnSignInEventsBeta": "Timestamp ReportId ErrorCode".split(),
    "EntraIdSignInEvents": "Timestamp ReportId ErrorCode AccountUpn AccountObjectId AccountDisplayName".split(),
    "EntraIdSpnSignInEvents": "Timestamp ReportId ErrorCode".split(),
    "DeviceTvmSoftwareInventory": "DeviceId DeviceName SoftwareVendor SoftwareName SoftwareVersion".split(),
    "DeviceTvmSoftwareVulnerabilities": """DeviceId DeviceName SoftwareName SoftwareVersion CveId
        VulnerabilitySeverityLevel""".split(),
    "DeviceTvmSecureConfigurationAssessment": "Timestamp DeviceId DeviceName".split(),
    "DeviceBaselineComplianceAssessment": "DeviceId DeviceName".split(),
    "FileMaliciousContentInfo": "Timestamp ReportId FileName FolderPath FileSize SHA256".split(),
    "CloudDnsEvents": "Timestamp ReportId ActionType".split(),
    "GraphApiAuditEvents": "Timestamp ReportId".split(),
    "IdentityAccountInfo": """Timestamp ReportId AccountUpn DisplayName Sid GivenName Surname JobTitle
        EmployeeId Department Manager""".split(),
    "IdentityEvents": "Timestamp ReportId ActionType AccountUpn AccountDisplayName".split(),
    "DataSecurityEvents": "Timestamp ActionType AccountUpn AccountObjectId".split(),
    "DataSecurityBehaviors": "Timestamp ActionType AccountUpn".split(),
    "DisruptionAndResponseEvents": "Timestamp ActionType DeviceId DeviceName".split(),
}
# What stands in captures for values that were taken out.
MADE_UP = "ANONYMIZED"
# Words that the output tells by a caption of its own.
CAPTIONS = {
    "workstation": "Desktop", "private": "Internal", "loopback": "Internal", "public": "External",
    "intra-org": "Internal", "string": "REG_SZ", "expandstring": "REG_EXPAND_SZ", "multistring": "REG_MULTI_SZ",
    "target object": "Target", "wireless80211": "Wireless", "nothreatsfound": "Benign", "clean": "Benign",
    "tcpv4": "tcp", "tcpv6": "tcp", "udpv4": "udp", "udpv6": "udp", "informational": "Informational",
    "remote interactive (rdp) logons": "Remote Interactive", "true": "Admin",
}
# What the envelope says in every record.
ENVELOPE = ("operationName", "Tenant", "category")


def table(record):
    return record["category"].removeprefix(STREAMED)


def has_mapping(kind):
    """Whether the program has a mapping of a kind, and not only the Base Event."""
    several = ("DeviceEvents", "DeviceRegistryEvents", "IdentityQueryEvents", "IdentityDirectoryEvents")
    return kind.removeprefix("hunting.") in (*CLASS, *several)


def expected_class(record):
    """The class that the reference names, or `None` if several are right."""
    name, action = table(record), str(record["properties"].get("ActionType") or "")
    if name == "DeviceRegistryEvents":
        return 201001 if "Key" in action else 201002
    if name == "DeviceEvents":
        found = (number for pattern, number in DEVICE_EVENTS if re.fullmatch(pattern, action))
        return next(found, BASE_EVENT)
    if name == "IdentityQueryEvents":
        return 4003 if action == "DNS query" else 6005
    if name == "IdentityDirectoryEvents":
        group = opened(record["properties"].get("AdditionalFields"))
        if action == "Group Membership changed" and isinstance(group, dict) and isinstance(group.get("TO.GROUP"), str):
            return 3006
        return {"SMB session": 4006, "Account Password changed": 3001}.get(action)
    return CLASS.get(name, BASE_EVENT)


def check_class(number, record, event, may_be_base):
    expected, found = expected_class(record), event["class_uid"]
    if expected is None or found == expected or (may_be_base and found == BASE_EVENT):
        return
    action = record["properties"].get("ActionType")
    raise Failed(f"event {number}: {table(record)} {action}: class {found}, expected {expected}")


def misplaced(record, event):
    """Columns that have a place in the reference and are in `unmapped` all the same."""
    unmapped = event.get("unmapped", {})
    row = record["properties"]
    wrong = [name for name in PLACED.get(table(record), []) if name in unmapped]
    return [name for name in wrong if row.get(name) != MADE_UP and event["class_uid"] != BASE_EVENT]


def coverage(records, events):
    """(columns in typed places, all columns with a value, names of the others with counts)."""
    typed, total, others = 0, 0, {}
    for record, event in zip(records, events):
        unmapped = event.get("unmapped", {})
        for name, value in record["properties"].items():
            if is_empty(opened(value)):
                continue
            total += 1
            if name in unmapped:
                others[name] = others.get(name, 0) + 1
            else:
                typed += 1
    return typed, total, others


def columns(records):
    """How often each field of each kind says something: what `--coverage` has to account for."""
    counts = {}
    for record in records:
        row = record["properties"]
        said = [name for name, value in row.items() if not is_empty(opened(value))]
        said += [name for name, value in record.items() if name != "properties" and not is_empty(value)]
        for name in said:
            key = (f"hunting.{table(record)}", name)
            counts[key] = counts.get(key, 0) + 1
    return counts


def check_bare(record, streamed, bare):
    """A row of a query has no envelope; all else is told as of a row of the stream."""
    for part in ("class_uid", "type_uid", "device", "actor", "unmapped"):
        envelope = {name for name in record if name != "properties"}
        without = {name: value for name, value in part_of(streamed, part).items() if name not in envelope}
        if without != part_of(bare, part):
            raise Failed(f"{table(record)}: {part} of the bare row differs: {part_of(bare, part)} for {without}")


def part_of(event, name):
    part = event.get(name, {})
    return part if isinstance(part, dict) else {name: part}


def opened(value):
    """What a text holds that is JSON; of all others the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value, parse_float=str)
        except json.JSONDecodeError:
            pass
    return value


def lost_values(record, event):
    """Scalars of a record that its event shows in no form; JSON in text counts as what it holds."""
    row = {name: opened(value) for name, value in record["properties"].items()}
    envelope = {name: value for name, value in record.items() if name not in ENVELOPE + ("properties",)}
    record = json.dumps({"row": row, "envelope": envelope})
    return [leaf for leaf in ocsf_checks.lost_values(record, event) if not is_told_otherwise(leaf, event)]


def is_told_otherwise(leaf, event):
    text = str(leaf)
    technique = re.fullmatch(r"(.+?) *\((T[\d.]+)\)", text)
    if technique:
        return technique[1] in event and technique[2] in event
    caption = CAPTIONS.get(text.lower())
    pairs = ":".join(text[at : at + 2] for at in range(0, len(text), 2))
    return (caption and caption in event) or (len(text) == 12 and pairs in event)
