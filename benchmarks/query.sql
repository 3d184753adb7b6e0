SELECT
    display_location,
    COUNT(*) AS "rows",
    COUNT(mailer_location) AS mailers,
    SUM(product_id) AS product_ids,
    SUM(store_id) AS store_ids,
    SUM(week) AS weeks
FROM promotions
GROUP BY display_location
ORDER BY display_location
