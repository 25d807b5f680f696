"""Signs addresses as Google's own client does; prints a JSON list of them.

Run with the file of a service account, a bucket, a number of seconds, and for each object a time as
in X-Goog-Date, a space and its name, by a Python that has `google-cloud-storage`.
"""

import json
import sys
from importlib import import_module
from urllib.parse import quote

# By name: a type checker finds a part of the namespace `google`, or nothing, as packages are there.
signing = import_module("google.cloud.storage._signing")
service_account = import_module("google.oauth2.service_account")

account, bucket, seconds, *wanted = sys.argv[1:]
credentials = service_account.Credentials.from_service_account_file(account)
found = [
    signing.generate_signed_url_v4(
        credentials, f"/{bucket}/{quote(name)}", int(seconds), _request_timestamp=moment
    )
    for moment, _, name in (one.partition(" ") for one in wanted)
]
sys.stdout.write(json.dumps(found))
