//! `ApplyPolicy`, `GetPolicy` and logs of kind audit, on the administrator's socket.

use attestree::{
    core::record::{Body, PolicyDigest, Record, System},
    proto::{
        ApplyPolicyRequest, ApprovalRule, CreateLogRequest, GetEntryRequest, GetPolicyRequest,
        LogKind, PolicyApproval, Verdict, admin_service_client::AdminServiceClient,
    },
};
use bytes::Bytes;
use tonic::{Code, transport::Endpoint};
use tonic_types::StatusExt as _;

use super::{POLICY, admin, apply, bundle, events, one, start};
use crate::{
    served::Served,
    told::{assert_status, verify},
};

#[tokio::test]
async fn a_policy_governs_every_index_above_its_own() {
    let mut served = start();
    let mut operator = admin(&served).await;
    let none = operator.get_policy(GetPolicyRequest::default()).await.unwrap().into_inner();
    assert_eq!((none.digest.len(), none.leaf_index), (0, None));
    assert_eq!(none.rule, Some(ApprovalRule::default()));
    let faulty = r#"{"act":"auth.login"}"#;
    let before = events(&served).await.append_event(one(faulty)).await.unwrap().into_inner();
    assert_eq!(before.record.unwrap().verdict(), Verdict::Accept);

    let applied = apply(&served, POLICY).await.unwrap();
    assert!(verify(applied.checkpoint.as_ref(), &served.vkeys[0]).size.get() > applied.leaf_index);
    let after = events(&served).await.append_event(one(faulty)).await.unwrap().into_inner();
    let record = after.record.unwrap();
    assert_eq!(record.verdict(), Verdict::Quarantine);
    assert_eq!(after.appended.unwrap().leaf_index, applied.leaf_index + 1);
    let parsed = Record::parse(&record.entry).unwrap();
    assert_eq!(parsed.policy(), Some(bundle(POLICY).digest()));

    let request = GetEntryRequest { leaf_index: applied.leaf_index, ..Default::default() };
    let entry = served.client().await.get_entry(request).await.unwrap().into_inner().entry;
    let Body::System(System::Policy(policy)) = Record::parse(&entry).unwrap().body().clone() else {
        panic!("the policy's record stands at its index")
    };
    assert_eq!(policy.digest, bundle(POLICY).digest());

    served.stop();
    served.resume();
    let active = admin(&served).await.get_policy(GetPolicyRequest::default()).await.unwrap();
    let active = active.into_inner();
    assert_eq!((active.digest, active.leaf_index), (applied.digest, Some(applied.leaf_index)));
    let again = apply(&served, POLICY).await.unwrap_err();
    assert_status(&again, Code::AlreadyExists, "POLICY_ACTIVE", None);
}

#[tokio::test]
async fn what_makes_no_policy_is_refused_with_the_place() {
    let served = start();
    let status =
        apply(&served, "apiVersion: attestree/v1\nkind: Policy\nclass: {}\n").await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "POLICY_INVALID", Some("bundle"));
    assert!(status.message().contains("policy.yaml:3:1"), "{}", status.message());
    let mut operator = admin(&served).await;
    let request = ApplyPolicyRequest { bundle: "no bundle".into(), ..Default::default() };
    let status = operator.apply_policy(request).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("bundle"));
    let approval = PolicyApproval { key: vec![1; 31].into(), ..Default::default() };
    let request = ApplyPolicyRequest {
        bundle: bundle(POLICY).encode().into(),
        approvals: vec![approval],
        ..Default::default()
    };
    let status = operator.apply_policy(request).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("approvals[0].key"));
}

#[tokio::test]
async fn an_audit_log_is_created_while_an_opaque_one_runs() {
    let mut served = Served::start();
    let mut operator = admin(&served).await;
    let key = served.vkeys[0].public_bytes().to_vec();
    let create = |keys: Vec<Bytes>, threshold| CreateLogRequest {
        origin: "log.example/audit".to_owned(),
        kind: LogKind::Audit.into(),
        rule: Some(ApprovalRule { keys, threshold }),
        ..Default::default()
    };
    let status = operator.create_log(create(vec![], 1)).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("rule"));
    let status = operator.create_log(create(vec!["short".into()], 1)).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("rule.keys[0]"));
    let log = operator.create_log(create(vec![key.clone().into()], 1)).await.unwrap();
    assert_eq!(log.into_inner().log.unwrap().kind(), LogKind::Audit);
    let mut request = one("{}");
    request.log = "log.example/audit".to_owned();
    let answer = events(&served).await.append_event(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.appended.unwrap().leaf_index, 1);

    // Its first policy needs an approval by the key, and nobody has signed one.
    let bundle = bundle(POLICY).encode().into();
    let log = "log.example/audit".to_owned();
    let apply = ApplyPolicyRequest { log: log.clone(), bundle, ..Default::default() };
    let status = operator.apply_policy(apply).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "UNAPPROVED", None);
    served.stop();
    served.resume();
    let policy = admin(&served).await.get_policy(GetPolicyRequest { log }).await.unwrap();
    let rule = policy.into_inner().rule.unwrap();
    assert_eq!((rule.keys, rule.threshold), (vec![key.into()], 1));
    let answer = events(&served).await.append_event(request).await.unwrap().into_inner();
    assert_eq!(answer.appended.unwrap().leaf_index, 2);
}

#[tokio::test]
async fn policies_are_for_the_operator_and_for_audit_logs() {
    let opaque = Served::start();
    let mut operator = admin(&opaque).await;
    let status = operator.get_policy(GetPolicyRequest::default()).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "OPAQUE_LOG", Some("log"));
    let status = apply(&opaque, POLICY).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "OPAQUE_LOG", Some("log"));
    let channel = Endpoint::try_from(opaque.url("")).unwrap().connect().await.unwrap();
    let request = ApplyPolicyRequest::default();
    let status = AdminServiceClient::new(channel).apply_policy(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_policy_replaces_only_the_one_that_is_named() {
    let served = start();
    let mut operator = admin(&served).await;
    let digest = |document: &str| Bytes::copy_from_slice(bundle(document).digest().as_bytes());
    let replacing = |document: &str, old: Bytes| ApplyPolicyRequest {
        bundle: bundle(document).encode().into(),
        old_digest: Some(old),
        ..Default::default()
    };
    let none = Bytes::from_static(&[0; 32]);
    let other = POLICY.replace("warn", "quarantine");
    let status = operator.apply_policy(replacing(POLICY, digest(&other))).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "POLICY_REPLACED", None);
    let active = |status: &tonic::Status| {
        status.get_error_details().error_info().unwrap().metadata["active"].clone()
    };
    assert_eq!(active(&status), PolicyDigest::NONE.to_string());
    operator.apply_policy(replacing(POLICY, none.clone())).await.unwrap();
    let status = operator.apply_policy(replacing(&other, none)).await.unwrap_err();
    assert_eq!(active(&status), bundle(POLICY).digest().to_string());
    let status = operator.apply_policy(replacing(&other, "short".into())).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("old_digest"));
    operator.apply_policy(replacing(&other, digest(POLICY))).await.unwrap();
}

#[tokio::test]
async fn of_a_policy_that_was_applied_twice_the_last_record_governs() {
    let served = start();
    let client = super::client::connect(&served).await;
    let other = POLICY.replace("warn", "quarantine");
    let mut applied = Vec::new();
    for document in [POLICY, other.as_str(), POLICY] {
        applied.push(apply(&served, document).await.unwrap().leaf_index);
        for _ in 0..5 {
            events(&served).await.append_event(one("{}")).await.unwrap();
        }
    }
    let governing = client.governing().await.unwrap();
    let policy = governing.policy.unwrap();
    assert_eq!((policy.index.get(), policy.record.digest), (applied[2], bundle(POLICY).digest()));
    assert_eq!(policy.bundle, bundle(POLICY));
    // Of an earlier record no server has to be asked.
    let before = client.governing_before(applied[2]).await.unwrap().unwrap();
    assert_eq!((before.index.get(), before.record.digest), (applied[1], bundle(&other).digest()));
}
