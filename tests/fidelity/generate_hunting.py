#!/usr/bin/env python3
"""Makes rows of every table of advanced hunting, good and bad ones, out of the list of columns.

Writes NDJSON to standard output: every column, nulls, missing columns, wrong types, "0" for
booleans, ids of 18 digits, JSON in text and as it is; all in the envelope of the stream.
The same seed gives the same bytes.
"""

import argparse
import json
import pathlib
import random
import sys

from generate_graph import ODD_TEXTS, SHARED, WRONG_TYPES

TABLES = SHARED / "reference" / "advanced-hunting-tables.json"
# Every so many rows, one has no mistake in it.
GOOD_EVERY = 3
TIMES = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.1234567Z", "2026-01-02T03:04:05.0000000"]
BAD_TIMES = ["", "yesterday", "0001-01-01T00:00:00Z", 17]
NOT_SO_BOOLEAN = [True, False, "0", "1", 0, 1, "true", "False", "maybe"]
LONG_ID = 639199803770463703
# The columns that hold JSON, as text or as it is.
NESTED = {
    "AdditionalFields": {
        "TO.GROUP": "Domain Admins",
        "ProcessId": 77, "ThreatName": "Family:Name", "LastVerdict": "Suspicious", "direction": "In",
        "ScriptContent": "a\nb", "Command": "Get-Item", "TaskName": "task", "ServiceName": "service",
        "BaseAddress": 140695, "RegionSize": 4096, "DnsQueryString": "host.example", "PipeName": "pipe",
        "DeviceDescription": "a stick", "ScanId": "scan", "GroupName": "group", "RuleId": "rule", "SearchFilter": "(a=b)",
        "ObjectName": "an object", "IsLocalLogon": "0", "nested": [1, {"b": None}, LONG_ID],
    },
    "RawEventData": {"a": {"b": ["c"]}},
    "AttackTechniques": ["Hidden Files (T1564)", "T1564.001", "none"],
    "Categories": ["Execution", "Malware"],
    "IPAddresses": [{"IPAddress": "192.0.2.1", "SubnetPrefix": 24, "AddressType": "Private"}, {"IPAddress": "fe80::1"}],
    "LoggedOnUsers": [{"UserName": "u", "DomainName": "d", "Sid": "S-1"}],
    "ActivityObjects": [{"Type": "File", "Role": "Target object", "Name": "n", "Id": "i"}],
    "AuthenticationDetails": {"SPF": "pass", "DKIM": "none", "DMARC": "fail", "CompAuth": "x"},
    "DeviceManualTags": ["a", "b"],
    "DeviceDynamicTags": ["c"],
    "To": ["a@contoso.example"],
    "Cc": ["b@contoso.example"],
}
# Some actions of the tables in which they decide the class.
ACTIONS = {
    "DeviceNetworkEvents": """ConnectionSuccess ConnectionFailed InboundConnectionAccepted ListeningConnectionCreated
        DnsConnectionInspected""".split(),
    "DeviceRegistryEvents": "RegistryKeyCreated RegistryKeyRenamed RegistryValueSet RegistryValueDeleted".split(),
    "DeviceFileEvents": "FileCreated FileRenamed FileDeleted".split(),
    "DeviceLogonEvents": "LogonSuccess LogonFailed LogonAttempted".split(),
    "IdentityQueryEvents": ["DNS query", "LDAP query", "SAMR query"],
    "IdentityDirectoryEvents": ["Group Membership changed", "SMB session", "Account Password changed", "Wmi execution"],
    "CloudAppEvents": ["FileUploaded", "MailItemsAccessed", "Write Deployments"],
    "EmailPostDeliveryEvents": ["Phish ZAP", "Manual Remediation"],
    "UrlClickEvents": ["ClickAllowed", "ClickBlockedByTenantPolicy", "UrlErrorPage"],
    "DeviceEvents": """CreateRemoteThreadApiCall OpenProcessApiCall ProcessPrimaryTokenModified
        NtAllocateVirtualMemoryApiCall ReadProcessMemoryApiCall PowerShellCommand ScriptContent DriverLoad
        ClrUnbackedModuleLoaded ScheduledTaskCreated ServiceInstalled SensitiveFileRead NamedPipeEvent
        PnpDeviceConnected UsbDriveUnmounted PrintJobBlocked DnsQueryRequest LdapSearch
        FirewallInboundConnectionBlocked FirewallOutboundConnectionBlocked NetworkShareObjectAdded
        RemoteDesktopConnection ContainedUserLogonBlocked UserAccountCreated UserAccountAddedToLocalGroup
        DirectoryServiceObjectCreated SecurityLogCleared AuditPolicyModification AntivirusScanCompleted
        AntivirusDefinitionsUpdated FirewallServiceStopped AntivirusDetection AsrRansomwareBlocked
        ExploitGuardAcgAudited SmartScreenUserOverride AppControlPolicyApplied BrowserLaunchedToOpenUrl
        GetClipboardData""".split(),
}
ALWAYS_AS_IS = {"To", "Cc", "ActivityObjects", "RawEventData"}
KNOWN_TEXTS = [
    ("SHA256", ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]),
    ("SHA1", ["5f1e8acedc065031aad553b710838eb366cfee9a"]),
    ("MD5", ["D41D8CD98F00B204E9800998ECF8427E"]),
    ("MacAddress", ["000D3A9EC781"]),
    ("IPType", ["Private", "Public", "Loopback", "FourToSixMapping"]),
    ("IPv4", ["192.0.2.9"]),
    ("IPv6", ["2001:db8::9"]),
    ("IP", ["192.0.2.10", "2001:db8::7", "::ffff:198.51.100.9"]),
    ("IPAddress", ["192.0.2.10", "2001:db8::7"]),
    ("IpAddress", ["192.0.2.11"]),
    ("Url", ["https://www.contoso.example/a?b", "www.contoso.example"]),
    ("Upn", ["person@contoso.example"]),
    ("EmailAddress", ["person@contoso.example"]),
    ("FromAddress", ["sender@contoso.example"]),
    ("FolderPath", ["C:\\Folder\\Tool.exe", "/usr/bin/tool", "C:\\Folder"]),
    ("FileName", ["Tool.exe", "tool"]),
    ("ExposureLevel", ["Low", "Medium", "High"]),
    ("Severity", ["High", "Informational", "Unheard"]),
    ("Protocol", ["Tcp", "UdpV6", "Kerberos", "Negotiate"]),
    ("EmailDirection", ["Inbound", "Outbound", "Intra-org"]),
    ("DeliveryAction", ["Delivered", "Junked", "Blocked", "Replaced"]),
    ("DeliveryLocation", ["Inbox/folder", "Quarantine", "Junk folder", "Elsewhere"]),
    ("RegistryValueType", ["Dword", "String", "MultiString", "Strange"]),
    ("LogonType", ["Interactive", "RemoteInteractive", "Strange"]),
    ("DeviceType", ["Server", "Workstation", "GamingConsole"]),
    ("OSPlatform", ["Windows11", "Ubuntu", "Plan9"]),
]


class Generator:
    """Rows of one seed."""

    def __init__(self, tables, seed):
        self.tables, self.random = tables, random.Random(seed)

    def record(self, number):
        names = sorted(self.tables)
        table = names[number % len(names)]
        good = number % GOOD_EVERY == 0
        row = self.row(table, good)
        return {
            "time": "2026-01-02T03:14:05.1234567Z",
            "tenantId": "11111111-2222-3333-4444-555555555555",
            "operationName": "Publish",
            "category": f"AdvancedHunting-{table}",
            "properties": row,
            "Tenant": "DefaultTenant",
        }

    def row(self, table, good):
        row = {}
        for column in self.tables[table]:
            if not good and self.random.random() < 0.15:
                continue
            # One column may be listed in two spellings, of which a row has one.
            if column["name"].lower() not in map(str.lower, row):
                row[column["name"]] = self.value(table, column, good)
        return row

    def value(self, table, column, good):
        if not good:
            chance = self.random.random()
            if chance < 0.15:
                return None
            if chance < 0.25:
                return self.random.choice(WRONG_TYPES + ODD_TEXTS)
        return self.right(table, column["name"], column["type"], good)

    def right(self, table, name, kind, good):
        if name == "ActionType":
            return self.random.choice(ACTIONS.get(table, []) + ["BrandNewAction"])
        if name in NESTED:
            plain = name in ALWAYS_AS_IS or self.random.random() < 0.3
            return NESTED[name] if plain else json.dumps(NESTED[name])
        if kind == "datetime":
            return self.random.choice(TIMES if good else TIMES + BAD_TIMES)
        if kind == "bool":
            return self.random.choice([True, False] if good else NOT_SO_BOOLEAN)
        if name == "ReportId" and kind == "long":
            return LONG_ID
        if kind in ("int", "long", "real"):
            return self.random.choice([0, 1, 443, 5000] if good else [0, -1, 65536, 2**31, LONG_ID, "12", ""])
        if kind == "dynamic":
            return self.random.choice([["a", "b"], {"a": 1}, [], {}])
        return self.text(name)

    def text(self, name):
        for end, texts in KNOWN_TEXTS:
            if name.endswith(end):
                return self.random.choice(texts)
        return f"{name} of a row"


def records(tables, seed, count):
    """Yields records, which are the same for the same arguments."""
    generator = Generator(tables, seed)
    for number in range(count):
        yield generator.record(number)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=pathlib.Path, default=TABLES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    tables = json.loads(arguments.tables.read_text(encoding="utf-8"))
    for record in records(tables, arguments.seed, arguments.count):
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
