//! A record costs one allocation: the event's bytes. Alone in its program, as it counts them all.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

#[expect(
    unsafe_code,
    reason = "counting allocations is only possible as the allocator"
)]
// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const RECORD: &str = r##"{"id":"da1_1","incidentId":"7","status":"inProgress","severity":"high","tenantId":"t","title":"a \"quoted\" title",
"description":"d","category":"Execution","mitreTechniques":["T1059.001"],"classification":"truePositive","determination":"malware","detectorId":"x",
"createdDateTime":"2026-03-04T05:06:07.1234567Z","lastUpdateDateTime":"2026-03-04T05:06:07.1234567Z","new":{"a":[1,2,{"b":null}]},
"evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence","mdeDeviceId":"d","deviceDnsName":"pc.corp","osPlatform":"Windows11","ipInterfaces":["10.0.0.1"],"verdict":"unknown"},
{"@odata.type":"#microsoft.graph.security.processEvidence","processId":12,"processCommandLine":"\"a\" -b","imageFile":{"fileName":"a.exe","filePath":"C:\\x","sha1":"ABCDEF"},"userAccount":{"accountName":"u","userSid":"S-1-5"}},
{"@odata.type":"#microsoft.graph.security.ipEvidence","ipAddress":"::ffff:10.0.0.1"}]}"##;

const ROW: &str = r#"{"time":"2026-05-01T09:55:00.1234567Z","tenantId":"t","operationName":"Publish","category":"AdvancedHunting-DeviceProcessEvents",
"properties":{"Timestamp":"2026-05-01T09:53:10.7654321Z","DeviceId":"d","DeviceName":"pc.corp","ActionType":"ProcessCreated","FileName":"a.exe","FolderPath":"C:\\x\\a.exe",
"SHA1":"ABCDEF","ProcessId":12,"ProcessCommandLine":"\"a\" -b","AccountName":"u","AccountSid":"S-1-5","InitiatingProcessId":7,"InitiatingProcessFileName":"b.exe",
"ReportId":123456789012345678,"AdditionalFields":"{\"a\":[1,\"x\\\\y\"]}"},"Tenant":"DefaultTenant"}"#;

#[test]
fn a_record_costs_one_allocation() {
    for (to, record) in [To::Ocsf, To::Ecs, To::Cef, To::Leef]
        .into_iter()
        .flat_map(|to| [(to, RECORD), (to, ROW)])
    {
        let mappings = Mappings::load(&NormalizeConfig::new(to), Path::new("."));
        let mut normalizer = Normalizer::new(Arc::new(mappings.expect("ours are right")));
        let meta = Recognizer::default()
            .metadata(record.as_bytes(), None)
            .expect("JSON");
        let mut run = || normalizer.event(&meta, record.as_bytes()).expect("JSON").0;
        drop((run(), run()));
        let before = COUNT.load(Ordering::Relaxed);
        let events = (run(), run(), run());
        assert_eq!(COUNT.load(Ordering::Relaxed) - before, 3, "{to:?}");
        drop(events);
    }
}
