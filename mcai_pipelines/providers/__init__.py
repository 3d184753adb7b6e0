"""What differs between providers: storage, catalogs, credentials. Nothing else may."""

from mcai_pipelines.providers.storage import SiteStorage, TableStorage, open_site

__all__ = ["SiteStorage", "TableStorage", "open_site"]
