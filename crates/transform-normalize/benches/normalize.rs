//! What one alert of 2 KB and one process of 1.5 KB cost: read, mapped, and written.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};

/// A synthetic alert of about 2 KB, as dense as Graph sends them.
fn alert() -> String {
    let record = r##"{
"@odata.type":"#microsoft.graph.security.alert","id":"da5f3c9a3e-4a67-4c24-9a53-2a3e0b7f6c11_1","providerAlertId":"5f3c9a3e-4a67-4c24-9a53-2a3e0b7f6c11_1",
"incidentId":"28282","status":"inProgress","severity":"medium","classification":"unknown","determination":"unknown",
"serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus","productName":"Microsoft Defender for Endpoint",
"detectorId":"e0da400f-affd-43ef-b1d5-afc2eb6f2756","tenantId":"b3c1b5fc-0000-45fa-a1e1-10d74f6d6e9c","title":"Suspicious execution of hidden file",
"description":"A hidden file has been launched. This activity could indicate a compromised host.","recommendedActions":"Collect artifacts.\nReview the timeline.",
"category":"DefenseEvasion","assignedTo":null,"alertWebUrl":"https://security.example.com/alerts/da5f3c9a3e?tid=b3c1b5fc","incidentWebUrl":"https://security.example.com/incidents/28282",
"actorDisplayName":null,"threatDisplayName":null,"threatFamilyName":null,"mitreTechniques":["T1564.001"],
"createdDateTime":"2026-04-27T12:19:27.7211305Z","lastUpdateDateTime":"2026-05-02T14:19:01.3266667Z","resolvedDateTime":null,
"firstActivityDateTime":"2026-04-26T07:45:50.116Z","lastActivityDateTime":"2026-05-02T07:56:58.222Z","comments":[],"systemTags":[],
"evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence","createdDateTime":"2026-04-27T12:19:27.7211305Z","verdict":"unknown","remediationStatus":"none",
"mdeDeviceId":"73e7e2de709dff64ef64b1d0c30e67fab63279db","deviceDnsName":"pc7.corp.example","osPlatform":"Windows11","osBuild":22631,"healthStatus":"active","riskScore":"medium",
"rbacGroupName":"Office","ipInterfaces":["10.1.2.3"],"roles":["compromised"]},
{"@odata.type":"#microsoft.graph.security.fileEvidence","createdDateTime":"2026-04-27T12:19:27.7211305Z","verdict":"suspicious","remediationStatus":"none","detectionStatus":"detected",
"mdeDeviceId":"73e7e2de709dff64ef64b1d0c30e67fab63279db","roles":[],"fileDetails":{"sha1":"5f1e8acedc065031aad553b710838eb366cfee9a","fileName":"hidden.exe","filePath":"C:\\Users\\u\\AppData","fileSize":6136392}}]}"##;
    record.replace('\n', "")
}

/// A synthetic process of about 1.5 KB in the envelope of the stream.
fn process() -> String {
    let record = r#"{"time":"2026-05-01T09:55:00.1234567Z","tenantId":"b3c1b5fc-0000-45fa-a1e1-10d74f6d6e9c","operationName":"Publish","category":"AdvancedHunting-DeviceProcessEvents",
"_TimeReceivedBySvc":"2026-05-01T09:54:10.1234567Z","properties":{"Timestamp":"2026-05-01T09:53:10.7654321Z","DeviceId":"73e7e2de709dff64ef64b1d0c30e67fab63279db","DeviceName":"pc7.corp.example",
"ActionType":"ProcessCreated","FileName":"tool.exe","FolderPath":"C:\\Program Files\\Tool\\tool.exe","SHA1":"5f1e8acedc065031aad553b710838eb366cfee9a","SHA256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
"FileSize":6136392,"ProcessId":4711,"ProcessCommandLine":"\"tool.exe\" --run","ProcessIntegrityLevel":"Medium",
"ProcessCreationTime":"2026-05-01T09:53:10.5Z","AccountDomain":"corp","AccountName":"u1","AccountSid":"S-1-5-21-1-2-3-1104","LogonId":998877,
"InitiatingProcessAccountDomain":"corp","InitiatingProcessAccountName":"u1","InitiatingProcessAccountSid":"S-1-5-21-1-2-3-1104","InitiatingProcessLogonId":998877,
"InitiatingProcessSHA1":"5f1e8acedc065031aad553b710838eb366cfee9b","InitiatingProcessFileName":"explorer.exe",
"InitiatingProcessFolderPath":"c:\\windows\\explorer.exe","InitiatingProcessId":812,"InitiatingProcessCommandLine":"explorer.exe","InitiatingProcessCreationTime":"2026-05-01T07:00:00Z","InitiatingProcessParentId":700,
"InitiatingProcessParentFileName":"userinit.exe","ReportId":7771,"AppGuardContainerId":"","AdditionalFields":"{\"a\":1}","MachineGroup":"Office"},"Tenant":"DefaultTenant"}"#;
    record.replace('\n', "")
}

fn normalize(c: &mut Criterion) {
    of_record(c, "alert", &alert());
    of_record(c, "process", &process());
    c.bench_function("load mappings to ocsf", |b| {
        b.iter(|| Mappings::load(&NormalizeConfig::new(To::Ocsf), Path::new(".")));
    });
}

fn of_record(c: &mut Criterion, name: &str, record: &str) {
    let meta = Recognizer::default()
        .metadata(record.as_bytes(), None)
        .expect("JSON");
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Bytes(record.len() as u64));
    for (name, to, observables) in [
        ("ocsf", To::Ocsf, false),
        ("ocsf with observables", To::Ocsf, true),
        ("cef", To::Cef, false),
    ] {
        let config = NormalizeConfig {
            observables,
            ..NormalizeConfig::new(to)
        };
        let mappings = Mappings::load(&config, Path::new(".")).expect("ours are right");
        let mut normalizer = Normalizer::new(Arc::new(mappings));
        group.bench_function(name, |b| {
            b.iter(|| black_box(normalizer.event(&meta, black_box(record.as_bytes()))));
        });
    }
    group.finish();
}

criterion_group!(benches, normalize);
criterion_main!(benches);
