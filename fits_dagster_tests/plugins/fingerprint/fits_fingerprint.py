"""A stage: the SHA-256 of each ingested file, in a table of its own."""

import hashlib

from sqlalchemy import BigInteger, Column, ForeignKey, MetaData, Table, Text, exists, literal, select
from sqlalchemy.dialects.postgresql import insert

from fits_dagster.ledger.stage import Committed, Stage
from fits_dagster.records.tables import diskfile

METADATA = MetaData(schema="fingerprint")
FINGERPRINT = Table(
    "fingerprint",
    METADATA,
    Column("diskfile_id", BigInteger, ForeignKey(diskfile.c.id, ondelete="cascade"), primary_key=True),
    Column("sha256", Text, nullable=False),
)


class FingerprintStage(Stage[tuple[str, str]]):
    """Store -> table of SHA-256 sums."""

    name = "fingerprint"
    title = "Fingerprints"
    tab = "sh"
    asset = "fingerprints"
    asset_description = "The SHA-256 of each file of the night."
    after = ("ingest",)
    words = "its fingerprint"
    duty = "computes fingerprints"
    tables = METADATA
    is_made = exists().where(FINGERPRINT.c.diskfile_id == diskfile.c.id)

    def is_part_of(self, site):
        """Where files are received: at the archive."""
        return site.receives_uploads

    def work(self, site, item, known):
        """Read the file, without the database; return its MD5 and its SHA-256."""
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with site.store.local(item.key) as path, path.open("rb") as file:
            while block := file.read(1 << 20):
                md5.update(block)
                sha256.update(block)
        return md5.hexdigest(), sha256.hexdigest()

    def commit(self, site, connection, item, result):
        """Write the sum of the version that was read; a repeat writes it again."""
        md5, sha256 = result
        # a newer file may have taken its place meanwhile; that one has an item of its own
        version = select(diskfile.c.id, literal(sha256)).where(
            diskfile.c.id == item.subject_id, diskfile.c.file_md5 == md5
        )
        row = insert(FINGERPRINT).from_select(["diskfile_id", "sha256"], version)
        row = row.on_conflict_do_update(index_elements=["diskfile_id"], set_={"sha256": row.excluded.sha256})
        written = connection.execute(row).rowcount
        return Committed("fingerprinted" if written else "superseded")


STAGE = FingerprintStage()
