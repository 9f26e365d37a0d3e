//! Rows of DeviceProcessEvents as the streaming API sends them, about 1.5 KB each; synthetic.

use std::fmt::Write;

/// A message of so many rows, numbered from `first`; `happened` is their time by RFC 3339.
pub(crate) fn message(first: usize, rows: usize, happened: &str) -> String {
    let mut message = String::with_capacity(rows * 1600 + 16);
    message.push_str(r#"{"records":["#);
    for number in first..first + rows {
        if number > first {
            message.push(',');
        }
        push_row(number, happened, &mut message);
    }
    message.push_str("]}");
    message
}

/// The columns that say something in most rows; each row differs from all others.
fn push_row(number: usize, happened: &str, out: &mut String) {
    let (machine, user) = (number % 500, number % 37);
    // Any digits will do for hashes, as long as they do not repeat within a message.
    let noise = (number as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(17);
    let sha1 = format!("{noise:016x}{noise:016x}{machine:08x}");
    let written = write!(
        out,
        r#"{{"time":"{happened}","tenantId":"b3c1b5fc-0000-45fa-a1e1-10d74f6d6e9c","operationName":"Publish","category":"AdvancedHunting-DeviceProcessEvents","_TimeReceivedBySvc":"{happened}","properties":{{"Timestamp":"{happened}","DeviceId":"73e7e2de709dff64ef64b1d0c30e67fab6{machine:06x}","DeviceName":"pc{machine}.corp.example","ActionType":"ProcessCreated","FileName":"tool{user}.exe","FolderPath":"C:\\Program Files\\Tool\\tool{user}.exe","SHA1":"{sha1}","SHA256":"{sha1}{noise:016x}{user:08x}","MD5":"{noise:016x}{number:016x}","FileSize":{size},"ProcessId":{process},"ProcessCommandLine":"\"tool{user}.exe\" --run --job {number} --output \"C:\\Users\\u{user}\\AppData\\Local\\Temp\\{noise:x}.log\"","ProcessIntegrityLevel":"Medium","ProcessTokenElevation":"TokenElevationTypeLimited","ProcessCreationTime":"{happened}","AccountDomain":"corp","AccountName":"u{user}","AccountSid":"S-1-5-21-1-2-3-{account}","LogonId":{number},"InitiatingProcessAccountDomain":"corp","InitiatingProcessAccountName":"u{user}","InitiatingProcessAccountSid":"S-1-5-21-1-2-3-{account}","InitiatingProcessLogonId":{number},"InitiatingProcessSHA1":"5f1e8acedc065031aad553b710838eb366{user:06x}","InitiatingProcessFileName":"explorer.exe","InitiatingProcessFolderPath":"c:\\windows\\explorer.exe","InitiatingProcessId":812,"InitiatingProcessCommandLine":"explorer.exe","InitiatingProcessCreationTime":"2026-05-01T07:00:00Z","InitiatingProcessParentId":700,"InitiatingProcessParentFileName":"userinit.exe","ReportId":{number},"AppGuardContainerId":"","AdditionalFields":"{{\"a\":1}}","MachineGroup":"Office"}},"Tenant":"DefaultTenant"}}"#,
        size = 6_000_000 + number,
        process = 1000 + number % 30_000,
        account = 1104 + user,
    );
    written.expect("writing to memory does not fail");
}
