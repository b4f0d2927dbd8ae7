//! The administrator's socket, and the verbs that make and copy directories.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use attestree::{
    core::{
        note::{KeyName, SigningKey, VerifierKey},
        origin::Origin,
    },
    proto::{
        AppendRequest, BackupRequest, CreateLogRequest, GetCheckpointRequest, Identity, LogKind,
        admin_service_client::AdminServiceClient,
    },
    server::{self, Init, config::RawConfig, random::Random},
    store::{LogIdentity, Store, StoreConfig},
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Code,
    transport::{Channel, Endpoint, Uri},
};

use crate::{
    served::{ORIGIN, Served},
    told::{assert_status, verify},
};

/// Connects to the administrator's socket.
async fn admin(served: &Served) -> AdminServiceClient<Channel> {
    let path = served.data().join("admin.sock");
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://admin.invalid");
    AdminServiceClient::new(endpoint.connect_with_connector(connect).await.unwrap())
}

fn create(origin: &str) -> CreateLogRequest {
    CreateLogRequest {
        origin: origin.to_owned(),
        kind: LogKind::Opaque.into(),
        ..Default::default()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn a_log_is_created_while_the_server_runs_and_stays() {
    let mut served = Served::start();
    let mut operator = admin(&served).await;
    let request =
        CreateLogRequest { identity: Identity::EntryHash.into(), ..create("log.example/second") };
    let log = operator.create_log(request).await.unwrap().into_inner().log.unwrap();
    assert_eq!(
        (log.origin.as_str(), log.prefix.as_str(), log.tree_size),
        ("log.example/second", "/second", 0)
    );
    let append = |entry: &'static str| AppendRequest {
        log: "log.example/second".to_owned(),
        entry: entry.into(),
        ..Default::default()
    };
    assert_eq!(served.client().await.append(append("a")).await.unwrap().into_inner().leaf_index, 0);
    served.stop();
    served.resume();
    let mut client = served.client().await;
    assert_eq!(client.append(append("b")).await.unwrap().into_inner().leaf_index, 1);
    let vkey = VerifierKey::parse(&log.vkeys[0]).unwrap();
    let request =
        GetCheckpointRequest { log: "log.example/second".to_owned(), ..Default::default() };
    let checkpoint = client.get_checkpoint(request).await.unwrap().into_inner().checkpoint;
    assert_eq!(verify(checkpoint.as_ref(), &vkey).size.get(), 2);
}

#[tokio::test]
async fn logs_that_can_not_be_are_refused_by_field() {
    let served = Served::start();
    let mut operator = admin(&served).await;
    let status = operator.create_log(create(ORIGIN)).await.unwrap_err();
    assert_status(&status, Code::AlreadyExists, "LOG_EXISTS", Some("origin"));
    let status = operator.create_log(create("other.example/first")).await.unwrap_err();
    assert_status(&status, Code::AlreadyExists, "PREFIX_TAKEN", Some("origin"));
    for wrong in [
        "",
        "https://log.example/x",
        "log.example/",
        "log.example//x",
        "log.example/metrics",
        "log.example/a b",
    ] {
        let status = operator.create_log(create(wrong)).await.unwrap_err();
        assert_status(&status, Code::InvalidArgument, "FIELD", Some("origin"));
    }
    let kind = LogKind::Unspecified.into();
    let request = CreateLogRequest { kind, ..create("log.example/x") };
    let status = operator.create_log(request).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("kind"));
    // What only audit logs have, and what they can't have.
    let rule = Some(Default::default());
    let request = CreateLogRequest { rule, ..create("log.example/x") };
    let status = operator.create_log(request).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("rule"));
    let identity = Identity::EntryHash.into();
    let kind = LogKind::Audit.into();
    let request = CreateLogRequest { kind, identity, ..create("log.example/x") };
    let status = operator.create_log(request).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("identity"));
    let request = CreateLogRequest { identity: 9, ..create("log.example/x") };
    let status = operator.create_log(request).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("identity"));
}

#[tokio::test]
async fn the_operators_calls_are_not_on_the_network() {
    let served = Served::start();
    let channel = Endpoint::try_from(served.url("")).unwrap().connect().await.unwrap();
    let status =
        AdminServiceClient::new(channel).create_log(create("log.example/x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn files_are_guarded_and_the_socket_goes_with_the_server() {
    let mut served = Served::start();
    let data = served.data();
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("admin.sock")), 0o600);
    assert_eq!(mode(&data.join("signing")), 0o700);
    assert_eq!(mode(&data.join("signing/0.skey")), 0o600);
    served.stop();
    assert!(!data.join("admin.sock").exists());
    // What a killed server leaves behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(data.join("admin.sock")).unwrap());
    served.resume();
    admin(&served).await.create_log(create("log.example/x")).await.unwrap();
}

#[tokio::test]
async fn a_backup_of_a_serving_log_opens_with_everything_acknowledged() {
    let served = Served::start();
    let mut client = served.client().await;
    for n in 0..10 {
        let entry = format!("{n}").into();
        client.append(AppendRequest { entry, ..Default::default() }).await.unwrap();
    }
    let mut operator = admin(&served).await;
    let destination = served.dir.path().join("copy");
    let backup = |destination: &Path| BackupRequest {
        destination: destination.to_str().unwrap().to_owned(),
    };
    let copied = operator.backup(backup(&destination)).await.unwrap().into_inner().logs;
    assert_eq!(copied[0].tree_size, 10);
    assert_eq!(mode(&destination), 0o700);
    let store = Store::open(&destination.join("db"), &StoreConfig::default()).unwrap();
    let rows = store.logs().unwrap();
    assert_eq!(store.recover(rows[0].number, None).unwrap().edge.size().get(), 10);

    for wrong in
        [PathBuf::from("relative"), destination.clone(), served.dir.path().join("none/copy")]
    {
        let status = operator.backup(backup(&wrong)).await.unwrap_err();
        assert_status(&status, Code::InvalidArgument, "FIELD", Some("destination"));
    }
}

/// Makes a log, or returns why it was refused.
fn init(data: &Path, origin: &str) -> Result<VerifierKey, String> {
    let origin = Origin::parse(origin).unwrap();
    let init = Init {
        data: data.to_owned(),
        watermark: None,
        origin,
        identity: LogIdentity::None,
        key: None,
        rule: None,
        kek: None,
    };
    server::init(init, &mut Random::from_seed([1; 32])).map_err(|error| format!("{error:#}"))
}

/// Starts a server over a directory and returns why it refused.
fn refusal(data: &Path) -> String {
    let raw = RawConfig {
        data: Some(data.to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        free_bytes_min: Some(0),
        ..RawConfig::default()
    };
    match server::start(raw.parse().unwrap()) {
        Ok(running) => panic!("the server started: {:?}", running.stop()),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn an_uninitialised_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let message = refusal(&dir.path().join("data"));
    assert!(message.contains("attestree init"), "{message}");
}

#[test]
fn init_adds_logs_and_never_takes_over_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    init(&data, "log.example/a").unwrap();
    init(&data, "log.example/b").unwrap();
    assert!(init(&data, "log.example/a").unwrap_err().contains("exists already"));
    assert!(init(&data, "other.example/b").unwrap_err().contains("same path"));

    let strange = dir.path().join("strange");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("file"), "x").unwrap();
    assert!(init(&strange, "log.example/c").unwrap_err().contains("no database"));
}

#[test]
fn a_lost_database_never_becomes_a_new_log_under_an_old_watermark() {
    let mut served = Served::start();
    let entry = AppendRequest { entry: "a".into(), ..Default::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { served.client().await.append(entry).await.unwrap() });
    served.stop();
    let data = served.data();
    fs::remove_dir_all(&data).unwrap();
    let message = init(&data, ORIGIN).unwrap_err();
    assert!(message.contains("watermark"), "{message}");
}

#[test]
fn a_missing_open_or_wrong_key_and_a_missing_watermark_are_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    init(&data, "log.example/a").unwrap();
    let key = data.join("signing/0.skey");
    let text = fs::read_to_string(&key).unwrap();

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal(&data).contains("chmod 600"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    fs::rename(&key, dir.path().join("kept")).unwrap();
    assert!(refusal(&data).contains("0.skey; put it back"));
    let other = dir.path().join("other");
    let origin = Origin::parse("log.example/a").unwrap();
    let another = Init {
        data: other.clone(),
        watermark: None,
        origin,
        identity: LogIdentity::None,
        key: None,
        rule: None,
        kek: None,
    };
    server::init(another, &mut Random::from_seed([9; 32])).unwrap();
    fs::copy(other.join("signing/0.skey"), &key).unwrap();
    assert!(refusal(&data).contains("not the one in its row"));
    fs::write(&key, text).unwrap();

    fs::remove_file(dir.path().join("data.watermark")).unwrap();
    assert!(refusal(&data).contains("watermark"));
}

#[test]
fn an_init_that_was_interrupted_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // Before the database was there.
    fs::create_dir_all(data.join("db")).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let first = init(&data, "log.example/a").unwrap();
    // After the key and before the row: the key that is there is taken.
    let key = data.join("signing/1.skey");
    let left = SigningKey::from_seed(KeyName::parse("log.example/b").unwrap(), &[5; 32]);
    fs::write(&key, left.format().as_str()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(init(&data, "log.example/c").unwrap_err().contains("move it away"));
    let second = init(&data, "log.example/b").unwrap();
    assert_eq!(second.to_string(), left.verifier_key().to_string());
    assert_ne!(first.to_string(), second.to_string());
}
