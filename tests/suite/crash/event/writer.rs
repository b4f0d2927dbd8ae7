//! Producers of events that write down what they are promised, and check every promise as it comes.

use attestree::{
    core::{
        hash::TreeHash,
        number::LeafIndex,
        record::{Body, Opening, Path, Record, Salt},
        tree::verify_inclusion,
    },
    proto::{
        Answer, AppendEventBatchRequest, AppendEventRequest, EventRecord,
        event_service_client::EventServiceClient,
    },
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{Status, transport::Channel};

use super::{
    book::{Book, Switch, Taken},
    place::Door,
    policy,
};
use crate::{
    crash::{load::assert_gone, random::Random},
    events::{apply_at, bundle},
    told::{hashes, verify},
};

/// Most events of a batch.
const BATCH_MAX: u64 = 40;

/// Events of a body over HTTP.
const LINES: usize = 3;

/// Answers after which the next policy is applied.
const SWITCH_ANSWERS: u64 = 60;

/// Why a producer stopped.
pub(super) type Ended = Result<(), Status>;

/// One producer.
#[derive(Clone)]
pub(super) struct Writer {
    door: Door,
    events: EventServiceClient<Channel>,
    numbered: EventServiceClient<Channel>,
    book: Book,
}

/// Makes the event of a number: every second one brings two subjects that nobody has heard of.
fn login(number: usize) -> Value {
    json!({
        "act": "login",
        "actor": {"id": format!("u{}", number / 2), "email": format!("m{number}@example.com")},
        "ctx": {"card": format!("c{number}"), "owner": format!("o{}", number / 2), "phone": "+49 30 1"},
    })
}

/// Takes the record of an answer apart, and checks that everything in it opens as what was sent.
fn taken(event: &str, index: u64, record: &EventRecord) -> Taken {
    let leaf = TreeHash::from_slice(&record.leaf_hash).unwrap();
    let mut openings = Vec::new();
    let entry = (!record.entry.is_empty()).then(|| record.entry.clone());
    if let Some(entry) = &entry {
        assert_eq!(TreeHash::leaf(entry), leaf, "the record is the leaf");
        let parsed = Record::parse(entry).unwrap();
        let sent: Value = serde_json::from_str(event).unwrap();
        for opening in &record.openings {
            let path = Path::parse(&opening.path).unwrap();
            let salt = Salt::new(<[u8; 32]>::try_from(&opening.salt[..]).unwrap());
            let value = sent.pointer(&opening.path);
            let value = value.unwrap_or_else(|| panic!("nobody sent what opens in {record:?}"));
            let value = value.to_string().into_bytes();
            parsed.verify_disclosure(&path, &salt, &value).unwrap();
            openings.push(Opening { path, salt, value: value.into() });
        }
        assert_eq!(openings.len(), parsed.commitments().len(), "everything opens");
    }
    Taken { index, leaf, entry, openings, at: 0 }
}

impl Writer {
    /// Begins to write on a connection.
    pub(super) fn new(door: &Door, book: &Book) -> Self {
        let connect = |channel: &Channel| {
            EventServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20)
        };
        let (events, numbered) = (connect(&door.channel), connect(&door.numbered));
        Self { door: door.clone(), events, numbered, book: book.clone() }
    }

    /// Sends an event, and returns whether it was there before.
    pub(super) async fn post(&mut self, number: usize) -> Result<bool, Status> {
        let sent = self.book.lock().sent[number].clone();
        let request = AppendEventRequest {
            event: sent.event.clone().into(),
            idempotency_key: sent.key.into(),
            answer: Answer::Receipt.into(),
            ..Default::default()
        };
        let events = if sent.numbered { &mut self.numbered } else { &mut self.events };
        let answer = events.append_event(request).await?.into_inner();
        let (place, record) = (answer.appended.unwrap(), answer.record.unwrap());
        let taken = taken(&sent.event, place.leaf_index, &record);
        let head = verify(place.checkpoint.as_ref(), &self.book.vkey);
        let proof = hashes(&place.proof.expect("a receipt holds a proof").hashes);
        let index = LeafIndex::new(taken.index).unwrap();
        verify_inclusion(&taken.leaf, index, &head, &proof).expect("the receipt verifies");
        self.book.answer(number, taken);
        Ok(place.duplicate)
    }

    /// Sends an event with a key.
    pub(super) async fn unary(&mut self) -> Ended {
        let number = self.book.send("unary", login);
        self.post(number).await.map(drop)
    }

    /// Sends an atomic batch.
    pub(super) async fn batch(&mut self, count: u64) -> Ended {
        let numbers = self.book.send_batch(count, login);
        let events = self.book.texts(numbers.clone());
        let request = AppendEventBatchRequest {
            events: events.iter().cloned().map(Into::into).collect(),
            answer: Answer::Receipt.into(),
            ..Default::default()
        };
        let answer = self.events.append_event_batch(request).await?.into_inner();
        let place = answer.appended.unwrap();
        verify(place.checkpoint.as_ref(), &self.book.vkey);
        assert_eq!(place.to - place.from, count, "each event has a record");
        let records = numbers.zip(place.from..).zip(events.iter().zip(&answer.records));
        for ((number, index), (event, record)) in records {
            self.book.answer(number, taken(event, index, record));
        }
        Ok(())
    }

    /// Posts lines over HTTP under one key.
    pub(super) async fn lines(&mut self) -> Ended {
        let (key, numbers) = self.book.send_lines(LINES, login);
        let body = self.book.texts(numbers.clone()).join("\n");
        let gone = |error: reqwest::Error| Status::unavailable(error.to_string());
        let url = format!("https://localhost:{}/v1/events", self.door.address.port());
        let request = self.door.http.post(url).header("content-type", "application/x-ndjson");
        let request = request.header("idempotency-key", key).body(body);
        let answer = request.send().await.map_err(gone)?;
        if !answer.status().is_success() {
            return Err(Status::unavailable(answer.text().await.unwrap_or_default()));
        }
        let text = answer.text().await.map_err(gone)?;
        for (number, line) in numbers.zip(text.lines()) {
            let told: Value = serde_json::from_str(line).unwrap();
            let Some(index) = told["index"].as_u64() else {
                return Err(Status::unavailable(line.to_owned()));
            };
            let leaf = TreeHash::parse_base64(told["leaf_hash"].as_str().unwrap()).unwrap();
            self.book.answer(number, Taken { index, leaf, entry: None, openings: vec![], at: 0 });
        }
        Ok(())
    }

    /// Sends an event that is only counted.
    pub(super) async fn noise(&mut self) -> Ended {
        self.book.lock().noise_sent += 1;
        let event = r#"{"act":"noise"}"#;
        let request = AppendEventRequest { event: event.into(), ..Default::default() };
        let answer = self.events.append_event(request).await?.into_inner();
        assert!(answer.record.unwrap().suppressed, "noise is counted");
        self.book.counted();
        Ok(())
    }

    /// Sends the next number of the source, `skip` left out; what may be lost of it is sent again first.
    pub(super) async fn numbered(&mut self, skip: u64) -> Ended {
        let unanswered = self.book.lock().unanswered;
        if let Some(number) = unanswered {
            self.post(number).await?;
        }
        let seq = {
            let mut ledger = self.book.lock();
            let from = ledger.seq;
            ledger.seq += skip + 1;
            if skip > 0 {
                ledger.skipped.push((from, from + skip));
            }
            from + skip
        };
        let number = self.book.send("seq", |_| json!({"act": "order", "seq": seq}));
        self.book.lock().unanswered = Some(number);
        self.post(number).await.map(drop)
    }

    /// Applies the next policy.
    pub(super) async fn switch(&self, source: &str) -> Ended {
        let (number, text) = {
            let mut ledger = self.book.lock();
            let number = ledger.switches.len();
            let text = policy(number, source);
            ledger.switches.push(Switch { digest: bundle(&text).digest(), answered: None });
            (number, text)
        };
        let answer = apply_at(self.door.socket.clone(), &text).await?;
        self.book.switched(number, answer.leaf_index);
        Ok(())
    }

    /// Sends the first number, and returns who numbers its events, as the log names it.
    pub(super) async fn source(&mut self) -> String {
        self.numbered(0).await.unwrap();
        let entry = self.book.lock().sent[0].taken.clone().unwrap().entry.unwrap();
        let record = Record::parse(&entry).unwrap();
        let Body::Event(event) = record.body() else { panic!("an event's record") };
        event.source().expect("the client has a certificate").to_owned()
    }

    /// Writes some of everything, one after another, and stops at the first failure.
    pub(super) async fn script(&mut self, source: &str) -> Ended {
        self.switch(source).await?;
        for _ in 0..2 {
            self.unary().await?;
            self.batch(20).await?;
            self.noise().await?;
            self.lines().await?;
            self.numbered(0).await?;
            self.switch(source).await?;
            self.noise().await?;
        }
        Ok(())
    }
}

/// What one task of the storm does over and over.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Unary,
    Batch,
    Lines,
    Noise,
    Numbered,
}

/// The tasks.
const KINDS: [Kind; 7] =
    [Kind::Unary, Kind::Unary, Kind::Unary, Kind::Batch, Kind::Lines, Kind::Noise, Kind::Numbered];

/// Writes from all sides, while policies change, until the server is gone.
pub(super) async fn storm(door: &Door, book: &Book, source: &str, random: &mut Random) {
    let mut tasks = JoinSet::new();
    for kind in KINDS {
        tasks.spawn(repeat(kind, Writer::new(door, book), random.fork()));
    }
    let writing = async {
        while let Some(ended) = tasks.join_next().await {
            assert_gone(&ended.expect("no promise was broken as it was made"));
        }
    };
    tokio::pin!(writing);
    tokio::select! {
        () = &mut writing => {}
        gone = switches(Writer::new(door, book), source) => {
            assert_gone(&gone);
            writing.await;
        }
    }
}

/// Does one thing until it fails.
async fn repeat(kind: Kind, mut writer: Writer, mut random: Random) -> Status {
    loop {
        let result = match kind {
            Kind::Unary => writer.unary().await,
            Kind::Batch => writer.batch(1 + random.below(BATCH_MAX)).await,
            Kind::Lines => writer.lines().await,
            Kind::Noise => writer.noise().await,
            Kind::Numbered => writer.numbered(0).await,
        };
        if let Err(status) = result {
            return status;
        }
    }
}

/// Applies one policy after another, as answers come, until it fails.
async fn switches(writer: Writer, source: &str) -> Status {
    let mut progress = writer.book.progress();
    loop {
        let goal = *progress.borrow() + SWITCH_ANSWERS;
        let reached = progress.wait_for(|count| *count >= goal).await;
        reached.expect("the book outlives its writers");
        if let Err(status) = writer.switch(source).await {
            return status;
        }
    }
}
