//! How RocksDB is set up: for rows that are appended in the order of their keys.
//!
//! The figures come from the measurements that `benches/README.md` describes; the bench that shows
//! a figure is `benches/store.rs` unless another is named.

use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBRecoveryMode, LogLevel, Options, WriteBufferManager, WriteOptions,
};
use rustix::fs::{Mode, OFlags};

/// What a store may use, and how.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Bytes of blocks, indexes and filters that RocksDB keeps in memory.
    ///
    /// What is left out of it is read again from the page cache. The default of 32 MiB is a sixth
    /// of what a whole server may use.
    pub block_cache_bytes: usize,
    /// Bytes of rows that are written but not yet flushed, over all column families.
    ///
    /// The default of 64 MiB holds a full memtable of entries, two that are being flushed, and
    /// those of the other families.
    pub memtable_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { block_cache_bytes: 32 << 20, memtable_bytes: 64 << 20 }
    }
}

/// A column family of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Format version, log rows and halt markers.
    Meta,
    /// The head of each log, written by every commit.
    Head,
    /// Segments of entries.
    Entry,
    /// Full tiles.
    Tile,
    /// Identities: the only rows whose keys are random.
    Identity,
    /// What opens the commitments of records, sealed. Rows can be deleted.
    Disclosure,
    /// What the write path of an audit log remembers of its sources and rules.
    Source,
}

impl Family {
    /// All of them, in the order in which the database holds them.
    pub(super) const ALL: [Self; 7] = [
        Self::Meta,
        Self::Head,
        Self::Entry,
        Self::Tile,
        Self::Identity,
        Self::Disclosure,
        Self::Source,
    ];

    /// Returns whether every store has it. Those made before there were records lack the others until
    /// they are opened for writing.
    pub(super) const fn is_in_every_store(self) -> bool {
        !matches!(self, Self::Disclosure | Self::Source)
    }

    /// Returns the name in the database.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Head => "head",
            Self::Entry => "entry",
            Self::Tile => "tile",
            Self::Identity => "identity",
            Self::Disclosure => "disclosure",
            Self::Source => "source",
        }
    }
}

/// Name of the family that RocksDB insists on. Nothing is in it.
pub(super) const FAMILY_UNUSED: &str = "default";

/// Returns the options of the database and of each of these families.
pub(super) fn open(
    config: &StoreConfig,
    families: &[Family],
    direct_io: bool,
) -> (Options, Vec<ColumnFamilyDescriptor>) {
    let cache = Cache::new_lru_cache(config.block_cache_bytes);
    let families = families
        .iter()
        .copied()
        .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache)))
        .chain([ColumnFamilyDescriptor::new(FAMILY_UNUSED, small_options(&cache))])
        .collect();
    (database_options(config, direct_io), families)
}

/// Returns the options of the key store: one family of small rows that are looked up by random keys.
pub(super) fn keys() -> Options {
    // Keys in use are cached above; what is left are the filters, which say of a new subject that it is new.
    let config = StoreConfig { block_cache_bytes: 8 << 20, memtable_bytes: 8 << 20 };
    let mut table = table_options(&Cache::new_lru_cache(config.block_cache_bytes));
    table.set_ribbon_filter(10.0);
    let mut options = database_options(&config, false);
    options.set_write_buffer_size(2 << 20);
    // What is wrapped does not compress.
    options.set_compression_type(DBCompressionType::None);
    options.set_bottommost_compression_type(DBCompressionType::None);
    options.set_block_based_table_factory(&table);
    options.set_max_open_files(64);
    options
}

/// Returns how every row is written: synced. There is no way to switch that off.
pub(super) fn write() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// Returns the options that hold for the whole database.
fn database_options(config: &StoreConfig, direct_io: bool) -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);

    // A write that was cut off by a crash was never acknowledged: an incomplete record at the end of
    // the WAL is dropped. Damage before it is refused, which the mode that stops at the first bad
    // record (point in time) would not do: it would lose acknowledged entries in silence.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A recycled WAL file ends in records of its former use, which that mode can't tell from damage.
    options.set_recycle_log_file_num(0);
    // A closed WAL that is missing or shorter than it was when it was synced is noticed on open.
    options.set_track_and_verify_wals_in_manifest(true);
    // The families `meta` and `head` hardly ever fill a memtable and would keep every WAL alive: 442
    // bytes an entry on disk and a second to open, without this limit.
    options.set_max_total_wal_size(64 << 20);

    // Written bytes go to the disk all the time, not in bursts that the next commit waits for.
    options.set_wal_bytes_per_sync(1 << 20);
    options.set_bytes_per_sync(1 << 20);
    // Flushed rows are seldom read soon. Past the page cache they cost 0.6 us of CPU less an entry.
    options.set_use_direct_io_for_flush_and_compaction(direct_io);
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(
        config.memtable_bytes,
        // A stalled commit would wait for a flush that is on its way anyhow.
        false,
    ));
    // Half of the usual limit of 1,024 descriptors a process: connections need the others.
    options.set_max_open_files(512);
    // One writer writes one batch after another; commits of several threads are not to overlap.
    options.set_allow_concurrent_memtable_write(false);

    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(1 << 20);
    options.set_keep_log_file_num(4);
    options
}

/// Returns the options of a family.
fn family_options(family: Family, cache: &Cache) -> Options {
    match family {
        Family::Meta | Family::Head | Family::Source => small_options(cache),
        Family::Entry => {
            let mut options = sorted_options(cache, 16 << 20);
            // JSON shrinks by a third at no loss of speed. One setting for all levels: a file can
            // only be moved to a level that would compress it the same way.
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_bottommost_compression_type(DBCompressionType::Lz4);
            options
        }
        // Hashes don't compress, and what is sealed doesn't either.
        Family::Tile | Family::Disclosure => sorted_options(cache, 8 << 20),
        Family::Identity => identity_options(cache),
    }
}

/// Returns the options for rows that arrive in the order of their keys.
///
/// Flushed files don't overlap, so compaction only moves them: each row is written twice, once to
/// the WAL and once by a flush. A memtable of 16 MiB beats 64 MiB (810k against 559k entries/s of
/// 256 bytes) because it stays in the processor's cache.
fn sorted_options(cache: &Cache, memtable_bytes: usize) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(memtable_bytes);
    // The flush of one memtable may take as long as two others need to fill.
    options.set_max_write_buffer_number(4);
    options.set_compression_type(DBCompressionType::None);
    options.set_bottommost_compression_type(DBCompressionType::None);
    options.set_target_file_size_base(256 << 20);
    options.set_max_bytes_for_level_base(1 << 30);
    options.set_block_based_table_factory(&table_options(cache));
    options
}

/// Returns the options for families of a few rows.
fn small_options(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(1 << 20);
    options.set_compression_type(DBCompressionType::None);
    options.set_block_based_table_factory(&table_options(cache));
    options
}

/// Returns the options for rows with random keys, most of which are looked up and not found.
///
/// Filters of 10 bits a key spare 99 % of the reads for keys that are not there. They are cut into
/// partitions which come and go with the block cache, so that their memory does not grow with the
/// log: 12 MB for 10^7 keys.
fn identity_options(cache: &Cache) -> Options {
    let mut table = table_options(cache);
    table.set_ribbon_filter(10.0);
    table.set_whole_key_filtering(true);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(4_096);
    table.set_pin_top_level_index_and_filter(true);
    table.set_optimize_filters_for_memory(true);

    let mut options = Options::default();
    options.set_write_buffer_size(8 << 20);
    options.set_max_write_buffer_number(4);
    // A key is a hash and a value nearly one.
    options.set_compression_type(DBCompressionType::None);
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_block_based_table_factory(&table);
    options
}

/// Returns the table options that all families share.
fn table_options(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    // Indexes outside the cache would grow with the log.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table
}

/// Returns whether files in `dir` can be opened for direct I/O, which some file systems refuse.
pub(super) fn takes_direct_io(dir: &Path) -> bool {
    let probe = dir.join("direct-io-probe");
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&probe, flags, Mode::RUSR | Mode::WUSR).is_ok();
    // Whatever is left of a probe that failed is empty, and is not looked for by anyone.
    let _removed = std::fs::remove_file(&probe);
    opened
}
