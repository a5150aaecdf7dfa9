"""What the commands act on: stores and signed versions, as the tests of those rooms make them."""

# Fixtures, by their names.
from tests.signing.conftest import pairs as pairs
from tests.signing.conftest import world as world
from tests.store.conftest import client as client
from tests.store.conftest import engine_uri as engine_uri
from tests.store.conftest import make_model as make_model
from tests.store.conftest import s3_endpoint as s3_endpoint
from tests.store.conftest import s3_uri as s3_uri
from tests.store.conftest import start_engine as start_engine
from tests.store.conftest import use_variables as use_variables
