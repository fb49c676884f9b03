"""A stage: the SHA-256 of each ingested file, in a table of its own."""

import hashlib

from sqlalchemy import BigInteger, Column, ForeignKey, MetaData, Table, Text, exists
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


class FingerprintStage(Stage[str]):
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
        """Read the file, without the database."""
        with site.store.local(item.key) as path, path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def commit(self, site, connection, item, result):
        """Write the sum; a repeat writes it again."""
        row = insert(FINGERPRINT).values(diskfile_id=item.subject_id, sha256=result)
        connection.execute(row.on_conflict_do_update(index_elements=["diskfile_id"], set_={"sha256": result}))
        return Committed("fingerprinted")


STAGE = FingerprintStage()
