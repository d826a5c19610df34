"""Requests of one look-up a second, of real Django: ENGINE URL THREADS CONN_MAX_AGE SECONDS."""

import sys
import threading
import time
from urllib.parse import unquote, urlsplit

engine, url, threads, age, seconds = sys.argv[1:6]

try:
    import django
    from django.conf import settings
except ImportError:
    sys.exit("Django is missing: pip install django, with psycopg for PostgreSQL and mysqlclient for MySQL and MariaDB")

if engine == "sqlite3":
    database = {"NAME": url.removeprefix("sqlite:")}
else:
    parts = urlsplit(url)
    database = {
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username),
        "PASSWORD": unquote(parts.password),
        "HOST": parts.hostname,
        "PORT": parts.port,
    }
database |= {"ENGINE": f"django.db.backends.{engine}", "CONN_MAX_AGE": int(age)}
settings.configure(DATABASES={"default": database}, INSTALLED_APPS=[])

try:
    django.setup()
    from django.core.signals import request_finished, request_started
    from django.db import connection

    connection.ensure_connection()
except Exception as error:
    sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

counts = []
ready = threading.Barrier(int(threads))


def requests():
    ready.wait()
    end, done = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        request_started.send(sender=None, environ=None)
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM item WHERE id = %s", [done % 1000])
            cursor.fetchone()
        request_finished.send(sender=None)
        done += 1
    counts.append(done)
    connection.close()


workers = [threading.Thread(target=requests) for _ in range(int(threads))]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(sum(counts) / float(seconds))
