"""When things run by themselves: arrivals, schedules, automation."""
