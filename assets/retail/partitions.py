"""The weekly partitions of the retail tables."""

from assets.retail.weeks import FIRST_WEEK, LAST_WEEK, TIMEZONE, week_start
from mcai_pipelines.authoring import weekly

WEEKS = weekly(week_start(FIRST_WEEK), week_start(LAST_WEEK + 1), timezone=TIMEZONE)
"""One partition per full week; its key is the date of the Monday."""
